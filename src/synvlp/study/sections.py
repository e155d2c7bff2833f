"""The schema of the whole config, gathered from the settings classes of all jobs, which define each setting once."""

import functools
import importlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from synvlp import kinds, registry
from synvlp.concepts import writers
from synvlp.job import Settings
from synvlp.study import quality, sources

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
METHODS = ("convirt", "gloria", "mgca")
PRETRAINING = ("weights", "phases", "seed")  # settings of pre-training that a source and a seed stand for
SCALED = (  # settings of draw-scaling that the sources and the comparison stand for
    *("task", "curve", "counted", "datasets", "methods", "sources", "encoder_seeds"),
    *("resamples", "seed"),
)
OF_A_SET = ("share", "copies")  # settings of build-pairs that a set of pairs has of its own
TRAINED = {"classification": "classify", "segmentation": "segment", "detection": "detect"}
# Task -> its section of the config: of those that a probe is trained for, and of those that need no training.
TASKS = TRAINED | {name: task.section for name, task in registry.tasks().items()}


class Section(BaseModel):
    """A part of the config; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def options(module: str, *given: str, **fixed: Any) -> type[Settings]:
    """The settings of a job that a study chooses: all but those that the workflow gives it.

    Args:
        module: the job's module, below synvlp.
        given: settings that rules fill in from wildcards or from other parts of the study.
        fixed: more fields, as pydantic takes them: name=(type, default).
    """
    source = importlib.import_module(f"synvlp.{module}").Settings
    unknown = [name for name in given if name not in source.model_fields]
    if unknown:
        raise ValueError(f"synvlp.{module} has no setting {', '.join(unknown)}")
    fields = {name: (field.annotation, field) for name, field in source.model_fields.items() if name not in given}
    made = create_model(module.replace(".", " "), __base__=Settings, **fixed, **fields)
    made.check = source.check  # what the job asks of its settings together
    return made


@functools.cache
def schema() -> type[Section]:
    """The class of the whole config, gathered from the settings classes of all jobs."""
    corpus = (
        options("corpora.phantom", kind=(Literal["phantom"], ...))
        | options(
            "corpora.manifest",
            kind=(Literal["manifest"], ...),
            path=(str, _about("the manifest.csv; all else lies beside it")),
        )
        | options(
            "corpora.iu",
            kind=(Literal["iu"], ...),
            path=(str, _about("the published .tgz of XML reports")),
            index=(str | None, _about("CSV with uid, split and labels", None)),
        )
    )
    reports = create_model(
        "reports",
        __base__=Section,
        key_file=(
            str,
            _about("file with the secret that dates and surrogates are derived from; never share it"),
        ),
        published=(
            list[Name],
            _about("corpora whose texts everyone can read already, so that the demo's key may be used for them", []),
        ),
        keep_markers=(
            list[Name],
            _about("corpora in whose texts marks of a de-identification stay: an ablation for images.quality", []),
        ),
        anonymize=_part("reports.anonymize", "keep_markers"),
        split_sections=_part("reports.sections"),
        write_prompts=_part("reports.prompts", "keep_markers"),
    )
    concepts = create_model(
        "concepts",
        __base__=Section,
        corpora=(list[Name], _about("corpora whose reports are searched for concepts; none: none are", [])),
        vocabulary=_vocabulary(),
        extract=_part("concepts.extract"),
        written=(dict[Name, _written_set()], _about("sets of reports that are written from concepts", {})),
        draw_frequencies=_part("concepts.frequencies", "corpora", "written", "samplings"),
    )
    from_corpus = (Name, _about("the corpus whose train split the generator learns from"))
    generator = (
        create_model(
            "generator from scratch",
            __base__=Section,
            kind=(Literal["diffusion"], ...),
            corpus=from_corpus,
            train_autoencoder=_part("generators.autoencoder"),
            train_diffusion=_part("generators.diffusion"),
        )
        | create_model(
            "fine-tuned generator",
            __base__=Section,
            kind=(Literal["finetuned"], ...),
            corpus=from_corpus,
            finetune_diffusion=(options("generators.finetune"), ...),
        )
        | create_model(
            "published generator",
            __base__=Section,
            kind=(Literal["published"], ...),
            adopt_pipeline=(options("generators.adopt"), ...),
        )
    )
    for kind in kinds.trained():
        generator |= create_model(
            f"{kind} generator",
            __base__=Section,
            kind=(Literal[kind], ...),
            corpus=from_corpus,
            **{f"train_{kind}": _part(f"generators.kinds.{kind}")},
        )
    measured = create_model(
        "measured images",
        __base__=Section,
        generator=(Name, _about("the generator")),
        corpus=(Name, _about("its prompts")),
    )
    measures = create_model(
        "quality",
        __base__=Section,
        measure=(bool, _about("measure how good and how private the synthetic images are", False)),
        spaces=(
            list[Literal[quality.SPACES]],
            _about("feature spaces; the last one's closest pairs are shown", ["random", "real"], min_length=1),
        ),
        encoder=(Literal[METHODS] | None, _about("method of the encoder of `real`; none: the first of methods", None)),
        source=(Name, _about("what that encoder is pre-trained on", "real")),
        inception_weights=(str | None, _about("Inception-v3 (torchvision's names, safetensors)", None)),
        xrv_weights=(str | None, _about("DenseNet-121 (TorchXRayVision's names, safetensors)", None)),
        rad_dino_folder=(str | None, _about("folder of RAD-DINO or another DINOv2 (transformers)", None)),
        image_sets=(list[measured], _about("sets that are drawn to be measured, beside those of sources", [])),
        images_per_prompt=(int, _about("images drawn of each chosen prompt", 4, ge=2)),
        embed_images=_part("images.quality.embed", "space"),
        measure_fidelity=_part("images.quality.fidelity", "spaces"),
        measure_memorization=_part("images.quality.memorization", "spaces"),
        select_repeats=_part("images.quality.repeats"),
        measure_diversity=_part("images.quality.diversity"),
        measure_agreement=_part("images.quality.agreement"),
    )
    images = create_model(
        "images",
        __base__=Section,
        shards=(
            int,
            _about("files that a set of synthetic images is split into; one job each", 1, ge=1, le=100_000),
        ),
        partition=_part("images.partition"),
        synthesize=_part("images.synthesize"),
        screen=_part("images.screen", *names_of_drawing()),
        contact_sheet=_part("images.sheet"),
        quality=(measures, measures()),
    )
    pair_set = create_model(
        "pair set",
        __base__=Section,
        corpus=(Name, _about("the corpus, or the set of written reports, whose texts are paired")),
        generator=(
            Name | None,
            _about("whose images they are paired with; left out: the corpus's own", None),
        ),
        **{name: _field("encoders.pairs", name) for name in OF_A_SET},
        corrupted=(bool, _about("a copy of the corpus of which encoders.curation.corrupt spoils a known share", False)),
        curated=(bool, _about("without the pairs that encoders.curation rejects", False)),
    )
    curation = create_model(
        "curation",
        __base__=Section,
        corrupt=_part("encoders.curation.corrupt"),
        judge_images=_part("encoders.curation.judge_images"),
        judge_pairs=_part("encoders.curation.judge_pairs"),
        find_duplicates=_part("encoders.curation.duplicates"),
        curate=_part("encoders.curation.curate"),
        measure=_part("encoders.curation.measure"),
    )
    encoders = create_model(
        "encoders",
        __base__=Section,
        methods=(list[Literal[METHODS]], _about("pre-training methods", list(METHODS))),
        baselines=(
            list[Literal["random", "imagenet"]],
            _about("encoders without pre-training, as rows of every table", ["random"]),
        ),
        seeds=(
            list[Annotated[int, Field(ge=0)]],
            _about(
                "one encoder is pre-trained per method, source and seed; random weights are drawn per seed",
                [0],
                min_length=1,
            ),
        ),
        only=(
            dict[Name, Annotated[list[Literal[METHODS]], Field(min_length=1)]],
            _about("by source, the methods that it is for; sources that are not named: all methods", {}),
        ),
        imagenet_weights=(
            str | None,
            _about("ResNet weights (torchvision names, safetensors) to start from", None),
        ),
        text_folder=(
            str | None,
            _about("BERT folder (transformers layout) to start from, with its tokenizer", None),
        ),
        train_tokenizer=_part("encoders.tokenizer"),
        curation=(curation, curation()),
        build_pairs=_part("encoders.pairs", *OF_A_SET),
        pretrain=(dict[str, Any], _about("settings that all methods share", {})),
        **{method: (dict[str, Any], _about(f"settings of {method}, over those of pretrain", {})) for method in METHODS},
        init_encoder=_part("encoders.baseline", "seed", "architecture", "image_size"),
    )
    dataset = functools.reduce(lambda one, other: one | other, map(_data_set, TASKS))
    tasks = create_model(
        "tasks",
        __base__=Section,
        datasets=(dict[Name, Annotated[dataset, Field(discriminator="task")]], ...),
        encode=_part("tasks.features"),
        classify=_part("tasks.classification"),
        segment=_part("tasks.segmentation"),
        detect=_part("tasks.detection"),
        **{task.section: _part(f"tasks.{task.section}", *task.given) for task in registry.tasks().values()},
    )
    runs = ("tasks", "datasets", "methods", "sources", "encoder_seeds")
    members = Annotated[list[Name], Field(min_length=2)]
    scaling = options(
        "tables.scaling",
        *SCALED,
        sources=(list[Name], _about("the sources that make the curve; none: no figure", [])),
    )
    tables = create_model(
        "tables",
        __base__=Section,
        tabulate=_part("tables.tabulate", "task", *runs[1:]),
        compare=_part("tables.comparison", *runs, "exclusive", "compared", "compared_with"),
        draw_figure=_part("tables.figure", "task", "baseline"),
        ablations=(
            dict[Name, members],
            _about("sources that are compared in a table and a figure of their own: the others with the first", {}),
        ),
        draw_ablation=_part("tables.ablation", "name", "members"),
        draw_scaling=(scaling, scaling()),
        draw_quality=_part("tables.quality_figure"),
    )
    versions = create_model(
        "versions",
        __base__=Section,
        record=(bool, _about("after each run, record every finished artifact in dvc.lock and DVC's cache", True)),
    )
    return create_model(
        "study",
        __base__=Section,
        study=(Name, _about("the study's name, and its folder below results/")),
        corpora=(dict[Name, Annotated[corpus, Field(discriminator="kind")]], ...),
        reports=(reports, ...),
        concepts=(concepts, concepts()),
        generators=(dict[Name, Annotated[generator, Field(discriminator="kind")]], {}),
        images=(images, images()),
        pair_sets=(dict[Name, pair_set], ...),
        sources=(dict[Name, sources.section(Name)], ...),
        encoders=(encoders, ...),
        tasks=(tasks, ...),
        tables=(tables, tables()),
        versions=(versions, versions()),
    )


def _data_set(task: str) -> type[Settings]:
    """The class of a task's data sets: one that is made from a corpus, or one that uses another task's files."""
    section, untrained = TASKS[task], registry.tasks().get(task)
    fixed: dict[str, Any] = {"task": (Literal[task], ...)}
    override = (dict[str, Any], _about(f"settings of {section} for this data set alone", {}))
    if untrained and untrained.of:
        module = f"tasks.{section}"
        of = (Name, _about(f"the data set whose samples are used, one of {' or '.join(untrained.of)}"))
        left = [name for name in options(module).model_fields if name not in untrained.given]
        return options(module, *left, **fixed, of=of, override=override)
    corpus = (Name, _about("the corpus it is made from"))
    return options(f"tasks.{task}_set", **fixed, corpus=corpus, override=override)


def _vocabulary() -> tuple[Any, Any]:
    """Where the vocabulary of concepts comes from, by kind."""
    job, path = "concepts.reading", (str, _about("the file that it is read from"))
    phrases = (str | None, _about("phrases of mentions beside the definitions (JSON)", None))
    built_in = options(job, "kind", "add_built_in", "max_rejected", kind=(Literal["built-in"], "built-in"))
    definitions = options(job, "kind", kind=(Literal["definitions"], ...), path=path, phrases=phrases)
    table = options(job, "kind", kind=(Literal["table"], ...), path=path)
    return (Annotated[built_in | definitions | table, Field(discriminator="kind")], built_in())


def _written_set() -> type[Section]:
    """A set of written reports: whose frequencies and words it is held against, how concepts are drawn, who writes."""
    more = {"trained": {"train_writer": _part("concepts.language_model")}}
    made = [
        options(f"concepts.writers.{kind}", kind=(Literal[kind], ...), **more.get(kind, {})) for kind in writers.KINDS
    ]
    writer = functools.reduce(lambda one, other: one | other, made)
    default = made[writers.KINDS.index("template")](kind="template")
    return create_model(
        "written set",
        __base__=Section,
        corpus=(Name, _about("the corpus that natural sets and trained writers learn from; all are compared with it")),
        sampling=_part("concepts.sampling"),
        writer=(Annotated[writer, Field(discriminator="kind")], default),
        audit=_part("concepts.audit", "cap"),
    )


def names_of_drawing() -> list[str]:
    """The settings of drawing: screening draws again with those that the shards were drawn with."""
    return list(importlib.import_module("synvlp.images.drawing").Settings.model_fields)


def _part(module: str, *given: str) -> tuple[Any, Any]:
    made = options(module, *given)
    return (made, Field(default_factory=made))


def _field(module: str, name: str) -> tuple[Any, Any]:
    """One setting of a job, as another section of the config holds it."""
    field = importlib.import_module(f"synvlp.{module}").Settings.model_fields[name]
    return (field.annotation, field)


def _about(meaning: str, default: Any = ..., **limits: Any) -> Any:
    return Field(default, description=meaning, **limits)


# Verb -> the settings that the workflow gives its job.
GIVEN = {
    "audit-reports": ("cap",),
    "draw-frequencies": ("corpora", "written", "samplings"),
    "anonymize": ("keep_markers",),
    "write-prompts": ("keep_markers",),
    "embed-images": ("space",),
    "measure-fidelity": ("spaces",),
    "measure-memorization": ("spaces",),
    "init-encoder": ("seed", "architecture", "image_size"),
    **{f"pretrain-{method}": PRETRAINING for method in METHODS},
    "draw-scaling": SCALED,
    "draw-ablation": ("name", "members"),
    "compare": ("compared", "compared_with"),
}


def given(verb: str) -> tuple[str, ...]:
    """The settings of a verb that a study cannot choose, since the workflow gives them."""
    return GIVEN.get(verb, ())
