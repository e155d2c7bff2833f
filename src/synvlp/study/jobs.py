"""Which job each rule runs, the settings that the study chooses for it, and the keys of the config these come from."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from synvlp import kinds, registry
from synvlp.study import quality, sources
from synvlp.study.sections import OF_A_SET, names_of_drawing

if TYPE_CHECKING:
    from synvlp.study.checked import Study

Choice = Callable[["Study", Any], dict[str, Any]]  # a study and a rule's wildcards -> the settings of its job


def _all(part: BaseModel, *leave_out: str) -> dict[str, Any]:
    return {name: value for name, value in part.model_dump().items() if name not in leave_out}


def _report(name: str) -> Choice:
    """Settings of a job of the reports; in an ablation's corpus marks of a de-identification stay."""
    return lambda s, w: {
        **_all(getattr(s.parts.reports, name)),
        "keep_markers": w.corpus in s.parts.reports.keep_markers,
    }


def _corpus(study: "Study", w: Any) -> dict[str, Any]:
    return _all(study.parts.corpora[w.corpus], "kind", "path", "index")


def _audit(study: "Study", w: Any) -> dict[str, Any]:
    part = study.parts.concepts.written[w.written]
    return {**_all(part.audit), "cap": part.sampling.cap if part.sampling.method == "balanced" else None}


def _frequencies(study: "Study", w: Any) -> dict[str, Any]:
    sets = study.parts.concepts.written
    return {
        **_all(study.parts.concepts.draw_frequencies),
        "corpora": study.compared_corpora(),
        "written": study.written(),
        "samplings": [sets[name].sampling.method for name in study.written()],
    }


def _pretrain(study: "Study", w: Any) -> dict[str, Any]:
    shared = study.parts.encoders
    drawn = sources.training(study.parts.sources[w.source])
    return {**shared.pretrain, **getattr(shared, w.method), **drawn, "seed": int(w.seed)}


def _baseline(study: "Study", w: Any) -> dict[str, Any]:
    shared = {
        key: study.parts.encoders.pretrain[key]
        for key in ("architecture", "image_size")
        if key in study.parts.encoders.pretrain
    }
    return {**_all(study.parts.encoders.init_encoder), **shared, "seed": int(w.seed)}


def _dataset(study: "Study", w: Any) -> dict[str, Any]:
    return _all(study.parts.tasks.datasets[w.dataset], "task", "corpus", "override")


def _task(verb: str) -> Choice:
    return lambda s, w: {**_all(getattr(s.parts.tasks, verb)), **s.parts.tasks.datasets[w.dataset].override}


def _curation(job: str) -> Choice:
    return lambda s, w: _all(getattr(s.parts.encoders.curation, job))


def _untrained(study: "Study", w: Any) -> dict[str, Any]:
    task = registry.tasks()[getattr(w, "task", "grounding")]
    part = study.parts.tasks.datasets[w.dataset]
    own = {name: getattr(part, name) for name in task.given}
    return {**_all(getattr(study.parts.tasks, task.section)), **part.override, **own}


def _synthesize(study: "Study", w: Any) -> dict[str, Any]:
    return kinds.drawing(study.parts.generators[w.generator].kind, _all(study.parts.images.synthesize))


def _repeats(study: "Study", w: Any) -> dict[str, Any]:
    """Several images of each chosen prompt, drawn as all others are."""
    return {**JOBS["synthesize"][1](study, w), "copies": study.parts.images.quality.images_per_prompt}


def _screen(study: "Study", w: Any) -> dict[str, Any]:
    drawing = {name: value for name, value in _synthesize(study, w).items() if name in names_of_drawing()}
    return {**drawing, **_all(study.parts.images.screen)}


def _pairs(study: "Study", w: Any) -> dict[str, Any]:
    own = study.parts.pair_sets[w.pair_set]
    return {**_all(study.parts.encoders.build_pairs), **{name: getattr(own, name) for name in OF_A_SET}}


def _train_generator(study: "Study", w: Any) -> dict[str, Any]:
    return _all(getattr(study.parts.generators[w.generator], f"train_{w.kind}"))


def _runs(study: "Study", task: str | None = None) -> dict[str, list]:
    runs = study.runs(task)
    return {
        "datasets": [run["dataset"] for run in runs],
        "methods": [run["method"] for run in runs],
        "sources": [run["source"] for run in runs],
        "encoder_seeds": [run["seed"] for run in runs],
    }


def _compare(study: "Study", w: Any) -> dict[str, Any]:
    sets = study.parts.tasks.datasets  # zero-shot asks of another set's classes
    exclusive = [name for name in study.datasets() if getattr(sets[study.base(name)], "kind", "") == "exclusive"]
    part = study.parts.tables
    chosen = {"tasks": [run["task"] for run in study.runs()], "exclusive": exclusive}
    more = sources.contrasts(part.ablations, part.compare.reference)
    if more:
        chosen |= {"compared": [other for other, _ in more], "compared_with": [first for _, first in more]}
    return {**_all(part.compare), **_runs(study), **chosen}


def _scaling(study: "Study", w: Any) -> dict[str, Any]:
    part, runs = study.parts.tables, study.scaling_runs(w.task)
    lists = {f"{name}s": [run[name] for run in runs] for name in ("dataset", "method", "source")}
    return {
        **{name: getattr(part.compare, name) for name in ("resamples", "seed")},
        **_all(part.draw_scaling, "sources"),
        **lists,
        "encoder_seeds": [run["seed"] for run in runs],
        "curve": part.draw_scaling.sources,
        "counted": list(study.pair_counts()),
        "task": w.task,
    }


def _page(study: "Study", w: Any) -> dict[str, Any]:
    page = study.page()
    titles = {
        setting: list(page[kind])
        for setting, kind in (
            ("picture_titles", "pictures"),
            ("audit_titles", "audits"),
            ("measure_titles", "measures"),
            ("extraction_titles", "extractions"),
            ("writing_titles", "writings"),
            ("screening_titles", "screenings"),
            ("rejected_titles", "rejected"),
        )
    }
    for place, setting in enumerate(("example_tasks", "example_datasets", "example_methods", "example_sources")):
        titles[setting] = [example[place] for example in page["examples"]]
    overlay = "" if study.name == "demo" else f" --configfile studies/{study.name}.yaml"
    command = f"snakemake --cores all{overlay}"
    return {"study": study.name, "reference": study.parts.tables.compare.reference, "command": command, **titles}


# Rule -> its job's module and where the study's choices for it are. A module may hold wildcards.
JOBS: dict[str, tuple[str, Choice]] = {
    "draw_phantoms": ("synvlp.corpora.phantom", _corpus),
    "read_manifest": ("synvlp.corpora.manifest", _corpus),
    "read_iu": ("synvlp.corpora.iu", _corpus),
    "anonymize": ("synvlp.reports.anonymize", _report("anonymize")),
    "measure_anonymization": ("synvlp.reports.measure", lambda s, w: {}),
    "split_sections": ("synvlp.reports.sections", lambda s, w: _all(s.parts.reports.split_sections)),
    "write_prompts": ("synvlp.reports.prompts", _report("write_prompts")),
    "read_vocabulary": (
        "synvlp.concepts.reading",
        lambda s, w: _all(s.parts.concepts.vocabulary, "path", "phrases"),
    ),
    "extract_concepts": ("synvlp.concepts.extract", lambda s, w: _all(s.parts.concepts.extract)),
    "measure_extraction": ("synvlp.concepts.measure", lambda s, w: {}),
    "sample_concepts": ("synvlp.concepts.sampling", lambda s, w: _all(s.parts.concepts.written[w.written].sampling)),
    "train_writer": (
        "synvlp.concepts.language_model",
        lambda s, w: _all(s.parts.concepts.written[w.written].writer.train_writer),
    ),
    "write_reports": (
        "synvlp.concepts.writers.{writer}",
        lambda s, w: _all(s.parts.concepts.written[w.written].writer, "kind", "train_writer"),
    ),
    "audit_reports": ("synvlp.concepts.audit", _audit),
    "draw_frequencies": ("synvlp.concepts.frequencies", _frequencies),
    "select_pairs": ("synvlp.generators.selection", lambda s, w: {}),
    "train_autoencoder": (
        "synvlp.generators.autoencoder",
        lambda s, w: _all(s.parts.generators[w.generator].train_autoencoder),
    ),
    "train_diffusion": (
        "synvlp.generators.diffusion",
        lambda s, w: _all(s.parts.generators[w.generator].train_diffusion),
    ),
    "finetune_diffusion": (
        "synvlp.generators.finetune",
        lambda s, w: _all(s.parts.generators[w.generator].finetune_diffusion),
    ),
    "adopt_pipeline": (
        "synvlp.generators.adopt",
        lambda s, w: _all(s.parts.generators[w.generator].adopt_pipeline),
    ),
    "train_generator": ("synvlp.generators.kinds.{kind}", _train_generator),
    "partition": ("synvlp.images.partition", lambda s, w: _all(s.parts.images.partition)),
    "synthesize": ("synvlp.images.synthesize", _synthesize),
    "screen": ("synvlp.images.screen", _screen),
    "contact_sheet": ("synvlp.images.sheet", lambda s, w: _all(s.parts.images.contact_sheet)),
    "embed_images": ("synvlp.images.quality.embed", quality.embedding),
    "measure_fidelity": ("synvlp.images.quality.fidelity", quality.fidelity),
    "measure_memorization": ("synvlp.images.quality.memorization", quality.memorization),
    "select_repeats": ("synvlp.images.quality.repeats", quality.plainly("select_repeats")),
    "draw_repeats": ("synvlp.images.synthesize", _repeats),
    "measure_diversity": ("synvlp.images.quality.diversity", quality.plainly("measure_diversity")),
    "measure_agreement": ("synvlp.images.quality.agreement", quality.plainly("measure_agreement")),
    "train_tokenizer": ("synvlp.encoders.tokenizer", lambda s, w: _all(s.parts.encoders.train_tokenizer)),
    "corrupt_corpus": ("synvlp.encoders.curation.corrupt", _curation("corrupt")),
    "judge_images": ("synvlp.encoders.curation.judge_images", _curation("judge_images")),
    "judge_pairs": ("synvlp.encoders.curation.judge_pairs", _curation("judge_pairs")),
    "find_duplicates": ("synvlp.encoders.curation.duplicates", _curation("find_duplicates")),
    "curate": ("synvlp.encoders.curation.curate", _curation("curate")),
    "measure_curation": ("synvlp.encoders.curation.measure", _curation("measure")),
    "build_pairs": ("synvlp.encoders.pairs", _pairs),
    "pretrain": ("synvlp.encoders.{method}", _pretrain),
    "init_encoder": ("synvlp.encoders.baseline", _baseline),
    "build_classification_set": ("synvlp.tasks.classification_set", _dataset),
    "build_segmentation_set": ("synvlp.tasks.segmentation_set", _dataset),
    "build_detection_set": ("synvlp.tasks.detection_set", _dataset),
    "encode": ("synvlp.tasks.features", lambda s, w: _all(s.parts.tasks.encode)),
    "classify": ("synvlp.tasks.classification", _task("classify")),
    "segment": ("synvlp.tasks.segmentation", _task("segment")),
    "detect": ("synvlp.tasks.detection", _task("detect")),
    "build_retrieval_set": ("synvlp.tasks.retrieval_set", _dataset),
    "align": ("synvlp.tasks.{task}", _untrained),
    "ground": ("synvlp.tasks.grounding", _untrained),
    "tabulate": (
        "synvlp.tables.tabulate",
        lambda s, w: {**_all(s.parts.tables.tabulate), **_runs(s, w.task), "task": w.task},
    ),
    "summarize": ("synvlp.tables.summary", lambda s, w: _runs(s)),
    "compare": ("synvlp.tables.comparison", _compare),
    "draw_figure": (
        "synvlp.tables.figure",
        lambda s, w: {
            **_all(s.parts.tables.draw_figure),
            "task": w.task,
            "baseline": s.parts.tables.compare.baseline,
        },
    ),
    "draw_ablation": (
        "synvlp.tables.ablation",
        lambda s, w: {
            **_all(s.parts.tables.draw_ablation),
            "name": w.ablation,
            "members": s.parts.tables.ablations[w.ablation],
        },
    ),
    "draw_scaling": ("synvlp.tables.scaling", _scaling),
    "tabulate_quality": ("synvlp.tables.quality", quality.tabulated),
    "draw_quality": ("synvlp.tables.quality_figure", lambda s, w: _all(s.parts.tables.draw_quality)),
    "write_page": ("synvlp.tables.page", _page),
}


# Rules whose job imports, by its name, the module that draws for a generator's kind.
DRAWING = ("synthesize", "screen", "draw_repeats")

_RUNS = ("sources", "encoders.methods", "encoders.only", "encoders.baselines", "encoders.seeds", "tasks.datasets")
_SET = ("tasks.datasets.{dataset}",)
_MEASURED = ("images.quality.measure", "images.quality.image_sets", "sources", "pair_sets")

# Rule -> the keys of the config that its job depends on; they may hold wildcards. `Study.keys` adds what pre-training
# methods share.
KEYS: dict[str, tuple[str, ...]] = {
    "draw_phantoms": ("corpora.{corpus}",),
    "read_manifest": ("corpora.{corpus}",),
    "read_iu": ("corpora.{corpus}",),
    "anonymize": ("reports.anonymize", "reports.key_file", "reports.keep_markers"),
    "measure_anonymization": (),
    "split_sections": ("reports.split_sections",),
    "write_prompts": ("reports.write_prompts", "reports.keep_markers"),
    "read_vocabulary": ("concepts.vocabulary",),
    "extract_concepts": ("concepts.extract",),
    "measure_extraction": (),
    "sample_concepts": ("concepts.written.{written}.corpus", "concepts.written.{written}.sampling"),
    "train_writer": ("concepts.written.{written}.corpus", "concepts.written.{written}.writer.train_writer"),
    "write_reports": ("concepts.written.{written}.writer",),
    "audit_reports": (
        "concepts.written.{written}.corpus",
        "concepts.written.{written}.audit",
        "concepts.written.{written}.sampling",
    ),
    "draw_frequencies": ("concepts.draw_frequencies", "concepts.written"),
    "select_pairs": ("generators.{generator}.corpus",),
    "train_autoencoder": ("generators.{generator}.train_autoencoder",),
    "train_diffusion": ("generators.{generator}.train_diffusion",),
    "finetune_diffusion": ("generators.{generator}.finetune_diffusion",),
    "adopt_pipeline": ("generators.{generator}.adopt_pipeline",),
    "train_generator": ("generators.{generator}.train_{kind}",),
    "partition": ("images.partition", "images.shards"),
    "synthesize": ("images.synthesize",),
    "screen": ("images.screen", "images.synthesize", "images.shards"),
    "contact_sheet": ("images.contact_sheet",),
    "embed_images": (
        "images.quality.embed_images",
        "images.quality.encoder",
        "images.quality.source",
        "images.quality.inception_weights",
        "images.quality.xrv_weights",
        "images.quality.rad_dino_folder",
    ),
    "measure_fidelity": ("images.quality.measure_fidelity", "images.quality.spaces"),
    "measure_memorization": ("images.quality.measure_memorization", "images.quality.spaces"),
    "select_repeats": ("images.quality.select_repeats",),
    "draw_repeats": ("images.synthesize", "images.quality.images_per_prompt"),
    "measure_diversity": ("images.quality.measure_diversity",),
    "measure_agreement": (
        "images.quality.measure_agreement",
        "images.quality.encoder",
        "images.quality.source",
    ),
    "train_tokenizer": ("encoders.train_tokenizer", "pair_sets"),
    "corrupt_corpus": ("encoders.curation.corrupt",),
    "judge_images": ("encoders.curation.judge_images",),
    "judge_pairs": ("encoders.curation.judge_pairs",),
    "find_duplicates": ("encoders.curation.find_duplicates",),
    "curate": ("encoders.curation.curate",),
    "measure_curation": ("encoders.curation.measure",),
    "build_pairs": ("encoders.build_pairs", "pair_sets.{pair_set}"),
    "pretrain": ("encoders.{method}", "encoders.imagenet_weights", "encoders.text_folder", "sources.{source}"),
    "init_encoder": (
        "encoders.pretrain.architecture",
        "encoders.pretrain.image_size",
        "encoders.imagenet_weights",
    ),
    "build_classification_set": _SET,
    "build_segmentation_set": _SET,
    "build_detection_set": _SET,
    "encode": ("tasks.encode",),
    "classify": ("tasks.classify", "tasks.datasets.{dataset}.override"),
    "segment": ("tasks.segment", "tasks.datasets.{dataset}.override"),
    "detect": ("tasks.detect", "tasks.datasets.{dataset}.override"),
    "build_retrieval_set": _SET,
    "align": ("tasks.{section}", *_SET),
    "ground": ("tasks.grounding", *_SET),
    "tabulate": _RUNS,
    "summarize": _RUNS,
    "compare": ("tables.compare", "tables.ablations", *_RUNS),
    "draw_figure": ("tables.draw_figure", "tables.compare.baseline"),
    "draw_ablation": ("tables.draw_ablation", "tables.ablations.{ablation}"),
    "draw_scaling": ("tables.draw_scaling", "tables.compare", *_RUNS),
    "tabulate_quality": _MEASURED,
    "draw_quality": ("tables.draw_quality",),
    "write_page": (
        "study",
        "tables.compare.reference",
        "corpora",
        "concepts.corpora",
        "concepts.written",
        "generators",
        "images.quality.measure",
        "pair_sets",
        *_RUNS,
    ),
}


def module_of(rule: str, wildcards: Any) -> str:
    """The module of a rule's job. Names of tasks may hold hyphens, those of modules have underscores."""
    return JOBS[rule][0].format(**dict(wildcards.items())).replace("-", "_")
