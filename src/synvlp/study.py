"""The study: the schema of the whole config, its check, and what each rule passes to its job.

Every setting is defined once, in its job's module; the classes here only gather them. No job imports
this module, so that a new setting elsewhere reruns nothing.
"""

import difflib
import functools
import hashlib
import importlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, create_model

from synvlp import kinds, provenance, quality, registry, sources
from synvlp.concepts import writers
from synvlp.curation import Curation
from synvlp.job import Misfit, Settings

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
METHODS = ("convirt", "gloria", "mgca")
PRETRAINING = ("weights", "phases", "seed")  # settings of pre-training that a source and a seed stand for
SCALED = (  # settings of draw-scaling that the sources and the comparison stand for
    *("task", "curve", "counted", "datasets", "methods", "sources", "encoder_seeds"),
    *("resamples", "seed"),
)
OF_A_SET = ("share", "copies")  # settings of build-pairs that a set of pairs has of its own
LANGUAGE_MODEL = {
    "config": "config.json",
    "weights": "model.safetensors",
    "tokenizer": "tokenizer.json",
    "tokenizer_config": "tokenizer_config.json",
}
TRAINED = {"classification": "classify", "segmentation": "segment", "detection": "detect"}
# Task -> its section of the config: of those that a probe is trained for, and of those that need no training.
TASKS = TRAINED | {name: task.section for name, task in registry.tasks().items()}
PICTURES = ("segmentation", "detection", "grounding")  # tasks with pictures of predictions
# What a data set of a task has beside samples, pixels and description.
TARGETS = {"segmentation": {"masks": "masks.npy"}, "detection": {"boxes": "boxes.json"}}
TARGETS["retrieval"] = {"texts": "texts.parquet"}

# The demo's key, which is in git: known by its place, and by its content wherever it lies.
DEMO_KEY, DEMO_KEY_SHA256 = "studies/demo.key", "2aeae9a32859c4d41e6f1327e93b3cb651a026967a6530bfcec70489169b4ec8"
NEW_KEY = "python3 -c 'import secrets; print(secrets.token_hex(32))' > FILE"
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")  # ${NAME} or ${NAME:-default}


class StudyError(Exception):
    """A config that cannot be used; the message names each key, its value and what is allowed."""


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
        screen=_part("images.screen", *_drawing()),
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
            _about("one encoder is pre-trained per method, source and seed", [0], min_length=1),
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


def overlaid(config: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with the keys of `overlay` over it, mapping by mapping, as Snakemake's --configfile does."""
    both = dict(config)
    for key, value in overlay.items():
        inside = isinstance(value, Mapping) and isinstance(both.get(key), Mapping)
        both[key] = overlaid(both[key], value) if inside else value
    return both


class Study:
    """A checked config, and the answers that the rules need from it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Check `config` (nested mappings, as YAML gives them). Raises StudyError listing every problem."""
        model = schema()
        self._unexpanded = _without_null(config)
        plain = _expand(self._unexpanded)
        try:
            self.parts = model.model_validate(plain)
        except ValidationError as error:
            raise StudyError(_explain(error, plain)) from None
        self.name = self.parts.study
        self.quality = quality.Quality(self)
        used = {name for source in self.parts.sources for name in self.sets_of(source)}
        self.curation = Curation(self.parts.pair_sets, used & set(self.parts.pair_sets))
        self._check_names()
        self._check_methods()

    def describe(self) -> str:
        """What the study holds, in a few lines."""
        sets = ", ".join(f"{item['generator']} for {item['corpus']}" for item in self.image_sets())
        return "\n".join(
            [
                f"study {self.name}: the config is valid",
                f"  corpora     {', '.join(self.corpora())}",
                f"  images      {sets or 'none'}",
                f"  sources     {', '.join(self.parts.sources)}",
                f"  encoders    {len(self.encoders())}",
                f"  data sets   {', '.join(self.datasets())}",
            ]
        )

    def settings(self, rule: str) -> Callable[[Any], str]:
        """For a rule's `params: settings=`: all settings of its job as one line of flags."""
        choose = JOBS[rule][1]

        @functools.cache
        def flags(module: str, wildcards: tuple) -> str:
            source = importlib.import_module(module).Settings
            return source(**choose(self, _Wildcards(wildcards))).flags()

        return lambda w: flags(module_of(rule, w), tuple(sorted(w.items())))

    def processes(self, rule: str) -> Callable[[Any], int]:
        """For a rule's `threads` and `gpu`: the processes that its job starts, each with a GPU if there is one."""
        choose = JOBS[rule][1]
        return lambda w: importlib.import_module(module_of(rule, w)).Settings(**choose(self, w)).processes

    def on_gpu(self, rule: str) -> Callable[[Any], int]:
        """For the `gpu` of a rule whose jobs do not all run a network: 1 for those that have a device to choose."""
        return lambda w: int("device" in importlib.import_module(module_of(rule, w)).Settings.model_fields)

    def code(self, rule: str) -> Callable[[Any], str]:
        """For a rule's `params: code=`: the fingerprint of all code that its job runs."""
        return lambda w: provenance.fingerprint(*self.modules(rule, dict(w.items())))

    def modules(self, rule: str, wildcards: Mapping[str, str]) -> tuple[str, ...]:
        """A job's own module, and those that it imports by their names: who draws for a generator of some kind."""
        module = module_of(rule, wildcards)
        if rule not in DRAWING:
            return (module,)
        return module, kinds.sampler(self.parts.generators[wildcards["generator"]].kind)

    def keys(self, rule: str, wildcards: Mapping[str, str]) -> list[str]:
        """The keys of the config that a job's settings and inputs come from: "encoders.gloria", "images.shards", …

        Of a section that a method overrides, only the keys that hold for the method.
        """
        section = TASKS.get(wildcards.get("task", ""), "")
        found = [key.format(**wildcards, section=section) for key in KEYS[rule]]
        if rule == "pretrain":
            own = getattr(self.parts.encoders, wildcards["method"])
            found += [f"encoders.pretrain.{name}" for name in self.parts.encoders.pretrain if name not in own]
        return sorted(found)

    def fingerprints(self) -> dict[tuple[str, ...], str]:
        """Modules of every job of the study -> fingerprint of their code."""
        generators = [{"generator": name, "kind": part.kind} for name, part in self.parts.generators.items()]
        tasks = [{"task": task} for task in registry.tasks()]
        several: dict[str, list[dict[str, str]]] = {
            "pretrain": [{"method": method} for method in self.parts.encoders.methods],
            "train_generator": [found for found in generators if found["kind"] in kinds.trained()],
            "write_reports": [{"writer": part.writer.kind} for part in self.parts.concepts.written.values()],
            **dict.fromkeys(DRAWING, generators),
            "align": tasks,
        }
        found = {self.modules(rule, wildcards) for rule in JOBS for wildcards in several.get(rule, [{}])}
        return {modules: provenance.fingerprint(*modules) for modules in sorted(found)}

    def names(self, section: str, /, **having: str) -> str:
        """A regular expression of the names in a section, for wildcard constraints.

        `having` keeps those with these values, such as kind="phantom".
        """
        inner = {"datasets": self.parts.tasks.datasets, "written": self.parts.concepts.written}
        inner["writers"] = dict.fromkeys(writers.KINDS)
        inner["texts"] = self.parts.corpora | self.parts.concepts.written
        parts = inner[section] if section in inner else getattr(self.parts, section)
        names = [
            re.escape(name)
            for name, part in parts.items()
            if all(getattr(part, key, None) == value for key, value in having.items())
        ]
        return "|".join(sorted(names)) or "(?!)"

    def encoders(self) -> list[dict[str, Any]]:
        """Every encoder of the study as wildcards (method, source, seed), baselines first."""
        part = self.parts.encoders
        first = part.seeds[0]
        runs = [{"method": method, "source": "none", "seed": first} for method in part.baselines]
        runs += [
            {"method": method, "source": source, "seed": seed}
            for method in part.methods
            for source in sorted(self.parts.sources)
            for seed in part.seeds
            if method in self.methods_of(source)
        ]
        return runs

    def methods_of(self, source: str) -> list[str]:
        """The methods that pre-train on a source."""
        return self.parts.encoders.only.get(source, self.parts.encoders.methods)

    def sets_of(self, source: str) -> list[str]:
        """The sets of pairs of a source, in the order in which pre-training is given them."""
        return sources.sets(self.parts.sources[source])

    def datasets(self, task: str | None = None) -> list[str]:
        """The names of the data sets, of one task or of all."""
        return [name for name, part in sorted(self.parts.tasks.datasets.items()) if task in (None, part.task)]

    def runs(self, task: str | None = None) -> list[dict[str, Any]]:
        """Every encoder on every data set of a task (or of all), as wildcards and its task.

        Tasks without training ask an encoder's text side, which those without pre-training do not have.
        """
        return [
            {"task": kind, "dataset": dataset, **encoder}
            for kind in ([task] if task else self.tasks())
            for dataset in self.datasets(kind)
            for encoder in self.encoders()
            if kind in TRAINED or encoder["source"] != "none"
        ]

    def untrained(self, *but: str) -> str:
        """A regular expression of the tasks without training `but` some, for wildcard constraints."""
        return "|".join(name for name in registry.tasks() if name not in but)

    def base(self, dataset: str) -> str:
        """The data set whose files a data set uses: its own, or those of another."""
        return getattr(self.parts.tasks.datasets[dataset], "of", dataset)

    def task_files(self, w: Any) -> dict[str, str | list]:
        """For the rule of a task without training: the files of a data set; nothing for those that it lacks."""
        base = self.base(w.dataset)
        task = self.parts.tasks.datasets[base].task
        found = self.sample_files(task, **TARGETS.get(task, {}))
        absent = {key: [] for targets in TARGETS.values() for key in targets}
        return absent | {key: path.replace("{dataset}", base) for key, path in found.items()}

    def tasks(self) -> list[str]:
        """The tasks that have a data set."""
        return [task for task in TASKS if self.datasets(task)]

    def image_sets(self) -> list[dict[str, str]]:
        """The sets of synthetic images that some source needs, as wildcards (generator, corpus)."""
        used = {name for source in self.parts.sources for name in self.sets_of(source)}
        found = {
            (part.generator, part.corpus)
            for name, part in self.parts.pair_sets.items()
            if part.generator and name in used
        }
        return [{"generator": generator, "corpus": corpus} for generator, corpus in sorted(found)]

    def text_file(self, name: str) -> str | list:
        """A file of the BERT folder that the text encoders start from; nothing if they start from scratch."""
        folder = self.parts.encoders.text_folder
        return f"{folder}/{name}" if folder else []

    def pipeline_source(self, generator: str) -> list[str]:
        """The files of the published pipeline that a generator starts from; its folder if there are none.

        They are inputs of the rule, so that another version of the pipeline is noticed.
        """
        part = self.parts.generators[generator]
        return _inside(getattr(part, kinds.FROM_PIPELINE[part.kind]).pipeline_folder, "model_index.json")

    def files_from_outside(self) -> list[str]:
        """Every file that the study reads and does not make: of its corpora, its key, its weights."""
        corpora = [self.parts.corpora[name] for name in self.corpora()]
        found = [getattr(corpus, key, None) for corpus in corpora for key in ("path", "index")]
        found += [self.parts.reports.key_file, self.parts.encoders.imagenet_weights]
        found += [*self.model_files("anonymize"), *self.model_files("train_tokenizer")]
        found += [path for name in self.written() for path in self._model_folder(name)]
        if self.concept_corpora():
            found += [
                *self.model_files("extract_concepts"),
                *self.vocabulary_file("path"),
                *self.vocabulary_file("phrases"),
            ]
        found += [self.text_file(name) for name in ("config.json", "model.safetensors")]
        found += self.quality.from_outside()
        for generator in sorted({item["generator"] for item in [*self.image_sets(), *self.quality.sets()]}):
            if self.parts.generators[generator].kind in kinds.FROM_PIPELINE:
                found += self.pipeline_source(generator)
        return [path for path in found if path]

    def generator_files(self, generator: str) -> list[str]:
        """The files of a generator, whichever kind it is of."""
        return list(kinds.files(generator, self.parts.generators[generator].kind).values())

    def generator_pictures(self, generator: str) -> dict[str, str]:
        """A generator's loss curve and its samples: "curve", "curve_picture", "samples"."""
        return kinds.pictures(generator, self.parts.generators[generator].kind)

    def beside_manifest(self, kind: str) -> Callable[[Any], list[str]]:
        """For the rule that reads a manifest: the files of a kind that lie beside it (see corpora.manifest)."""
        beside = importlib.import_module("synvlp.corpora.manifest").beside
        return lambda w: beside(self.parts.corpora[w.corpus].path)[kind]

    def corpus_source(self, key: str) -> Callable[[Any], str | list]:
        """For the rule that reads a corpus: the file from outside that `key` ("path", "index") names, if any.

        The rule's function raises StudyError, which says where the path comes from, if the file is not there and the
        corpus has not been read before (as after `dvc pull`, where nothing needs the file).
        """

        def find(w: Any) -> str | list:
            path = getattr(self.parts.corpora[w.corpus], key)
            made = Path("results", self.name, "corpora", w.corpus, "studies.parquet")
            if path and not Path(path).exists() and not made.exists():
                hint = self.origin("corpora", w.corpus, key) or "docs/data.md says what it holds"
                raise StudyError(f"corpora.{w.corpus}.{key}: there is no file {path}; {hint}")
            return path or []

        return find

    def origin(self, *place: str) -> str:
        """Which environment variables a value of the config comes from, and how to set it; "" if from none."""
        value = functools.reduce(lambda part, key: part[key], place, self._unexpanded)
        names = [match[1] for match in _VARIABLE.finditer(value)] if isinstance(value, str) else []
        now = " and ".join(f"{name} (now {os.environ.get(name) or 'not set'})" for name in dict.fromkeys(names))
        return f"the config takes it from {value}: set {now}; docs/data.md says what it holds" if now else ""

    def corpora(self) -> list[str]:
        """The names of the corpora that something in the study uses."""
        used = {part.corpus for part in self.parts.pair_sets.values()} - set(self.written())
        used |= {part.corpus for part in self.parts.tasks.datasets.values() if hasattr(part, "corpus")}
        used |= {part.corpus for part in self.parts.generators.values() if hasattr(part, "corpus")}
        return sorted(used | set(self.concept_corpora()) | self.quality.corpora())

    def measured(self, corpora: list[str] | None = None) -> list[str]:
        """The corpora (all, or of these) whose truth is known, so that what reads their reports can be measured."""
        named = self.corpora() if corpora is None else corpora
        return [name for name in named if self.parts.corpora[name].kind == "phantom"]

    def concept_corpora(self) -> list[str]:
        """The corpora whose reports are searched for concepts."""
        return sorted({*self.parts.concepts.corpora, *self.compared_corpora()})

    def written(self) -> list[str]:
        """The sets of written reports."""
        return sorted(self.parts.concepts.written)

    def compared_corpora(self) -> list[str]:
        """The corpora that sets of written reports are compared with."""
        return sorted({part.corpus for part in self.parts.concepts.written.values()})

    def of_written(self, name: str) -> Callable[[Any], str]:
        """For a rule of written reports: the file `name` of the corpus that they learn from and are compared with."""
        return lambda w: f"<results>/{name.format(corpus=self.parts.concepts.written[w.written].corpus)}"

    def writer_file(self, written: str, name: str) -> str:
        """A file that the writer of a set of reports leaves."""
        return f"<results>/concepts/{written}/{self.parts.concepts.written[written].writer.kind}/{name}"

    def writer_model(self, written: str) -> list[str]:
        """The files of the model that writes: one that is trained here, one from outside, or none."""
        if self.parts.concepts.written[written].writer.kind == "trained":
            return [f"<results>/concepts/{written}/model/{name}" for name in LANGUAGE_MODEL.values()]
        return self._model_folder(written)

    def _model_folder(self, written: str) -> list[str]:
        """The files of a writer's model from outside; its config where the folder is not here."""
        return _inside(getattr(self.parts.concepts.written[written].writer, "model_folder", None))

    def model_files(self, rule: str) -> list[str]:
        """The files of the model from outside that a rule's job opens by its folder; none where it needs none.

        They are inputs of the rule, so that other weights in the folder are noticed.
        """
        parts = self.parts
        folders = {
            "anonymize": parts.reports.anonymize.detector_folder,
            "extract_concepts": parts.concepts.extract.classifier_folder,
            "train_tokenizer": parts.encoders.train_tokenizer.tokenizer_folder,
        }
        inside = _inside(folders[rule])
        # Of a whole BERT's folder a tokenizer needs no weights.
        return [path for path in inside if rule != "train_tokenizer" or not path.endswith(".safetensors")]

    def written_results(self) -> list[str]:
        """What the sets of written reports end in: texts and prompts, and one figure of all."""
        sets = [f"<results>/concepts/{name}/prompts.parquet" for name in self.written()]
        return [*sets, "<results>/concepts/frequencies.png"] if sets else []

    def prompts_file(self, texts: str) -> str:
        """The texts and prompts of a corpus, or of a set of written reports."""
        stage = "concepts" if texts in self.parts.concepts.written else "reports"
        return f"<results>/{stage}/{texts}/prompts.parquet"

    def real_images(self, texts: str) -> list[str]:
        """The images that stand beside synthetic ones of the same studies; none for written reports."""
        return [f"<results>/corpora/{texts}/images.parquet"] if texts in self.parts.corpora else []

    def vocabulary_file(self, key: str) -> list[str]:
        """A file that the vocabulary is read from ("path", "phrases"); none where it needs none."""
        path = getattr(self.parts.concepts.vocabulary, key, None)
        return [path] if path else []

    def text_corpora(self) -> list[str]:
        """The corpora and sets of written reports whose texts the encoders read."""
        return sorted({part.corpus for part in self.parts.pair_sets.values()})

    def pair_file(self, pair_set: str, name: str) -> str:
        """A file of what a set of pairs is made from: "prompts" or "images", a generator's or the corpus's own."""
        part = self.parts.pair_sets[pair_set]
        if name == "images" and part.generator:
            return f"<results>/images/{part.generator}/{part.corpus}/images.parquet"
        if name == "prompts" and part.corpus in self.parts.concepts.written:
            return self.prompts_file(part.corpus)
        return self.curation.judged(part.corpus, "corrupted" if part.corrupted else "raw", name)

    def corpus_file(self, name: str, stage: str = "corpora") -> Callable[[Any], str]:
        """For a data set's rule: a stage's file `name` of the corpus that the data set is made from."""
        return lambda w: f"<results>/{stage}/{self.parts.tasks.datasets[w.dataset].corpus}/{name}"

    def sample_files(self, task: str, **more: str) -> dict[str, str]:
        """The files of a task's data set: samples, pixels, what they are, and the task's own targets."""
        names = {"samples": "samples.parquet", "pixels": "pixels.npy", "description": "dataset.json", **more}
        return {key: f"<results>/tasks/{task}/{{dataset}}/{name}" for key, name in names.items()}

    def results(self, name: str, task: str | None = None) -> list[str]:
        """The file `name` of every run of a task, or of all tasks, in the order of `runs`."""
        return [_result(run, name) for run in self.runs(task)]

    def scaled_tasks(self) -> list[str]:
        """The tasks that have a scaling figure: all, if one is asked for."""
        return self.tasks() if self.parts.tables.draw_scaling.sources else []

    def scaling_results(self, name: str, task: str) -> list[str]:
        """The file `name` of every run in the scaling figure, in the order of `scaling_runs`."""
        return [_result(run, name) for run in self.scaling_runs(task)]

    def scaling_runs(self, task: str) -> list[dict[str, Any]]:
        """The runs of a task that the scaling figure shows: its curve, the reference and the baseline."""
        part = self.parts.tables
        shown = {*part.draw_scaling.sources, part.draw_scaling.reference}
        return [
            run
            for run in self.runs(task)
            if run["source"] in shown or (run["method"], run["source"]) == (part.compare.baseline, "none")
        ]

    def pair_counts(self) -> dict[str, str]:
        """Source of the scaling figure -> the summary of one of its encoders, which counts the source's pairs."""
        part, first = self.parts.tables.draw_scaling, self.parts.encoders.seeds[0]
        named = dict.fromkeys([*part.sources, part.reference])
        shown = [name for name in named if name in self.parts.sources and self.methods_of(name)]
        return {
            name: f"<results>/encoders/{self.methods_of(name)[0]}/{name}/seed-{first}/summary.json" for name in shown
        }

    def shown(self, kind: str) -> list[str]:
        """The names of the "tables" or "figures" on the study's page, as files of its folder are called."""
        ablations = [f"ablation-{name}" for name in self.parts.tables.ablations]
        scaled = [f"scaling-{task}" for task in self.scaled_tasks()]
        return [*self.tasks(), *ablations, *(scaled if kind == "figures" else [])]

    def page(self) -> dict[str, dict[Any, str]]:
        """What the study's page shows: for each kind of material its titles, each with a file.

        Examples have no title, but a tuple of task, data set, method and source.
        """
        corpora, sets, first = self.corpora(), self.image_sets(), self.parts.encoders.seeds[0]
        drawn = self.measured()
        trained = sorted(
            {item["generator"] for item in sets if self.parts.generators[item["generator"]].kind != "published"}
        )
        scratch = [name for name in trained if self.parts.generators[name].kind == "diffusion"]
        images = {
            f"{item['generator']}, prompts of {item['corpus']}": "<results>/images/{generator}/{corpus}".format(**item)
            for item in sets
        }
        pictures = {
            **{f"Corpus {name}": f"<results>/corpora/{name}/preview.png" for name in drawn},
            **{f"Concepts of {name}": f"<results>/concepts/{name}/concepts.png" for name in self.concept_corpora()},
            **({"Frequencies of concepts": "<results>/concepts/frequencies.png"} if self.written() else {}),
            **{
                f"{'Synthetic' if item['corpus'] in self.written() else 'Real beside synthetic'}: {title}": (
                    f"{folder}/sheet.png"
                )
                for item, (title, folder) in zip(sets, images.items(), strict=True)
            },
            **{f"Samples of {name}": self.generator_pictures(name)["samples"] for name in trained},
            **{
                f"What the autoencoder of {name} keeps": f"<results>/generators/{name}/autoencoder/reconstructions.png"
                for name in scratch
            },
            **{f"Loss of {name}": self.generator_pictures(name)["curve_picture"] for name in trained},
            **self.curation.pictures(),
            **{
                f"Loss of {method}, {source}": f"<results>/encoders/{method}/{source}/seed-{first}/curve.png"
                for method in self.parts.encoders.methods
                for source in sorted(self.parts.sources)
                if method in self.methods_of(source)
            },
        }
        return {
            "pictures": pictures | self.quality.shown(),
            "examples": {
                (run["task"], run["dataset"], run["method"], run["source"]): path
                for task in PICTURES
                for run, path in zip(self.runs(task), self.results("examples.png", task), strict=True)
                if run["seed"] == first
            },
            "audits": {name: f"<results>/reports/{name}/audit.json" for name in corpora},
            "measures": {name: f"<results>/reports/{name}/measures.json" for name in drawn},
            "extractions": {
                name: f"<results>/concepts/{name}/measures.json" for name in self.measured(self.concept_corpora())
            },
            "writings": {name: f"<results>/concepts/{name}/audit.json" for name in self.written()},
            "screenings": {title: f"{folder}/summary.json" for title, folder in images.items()},
            "rejected": {
                **{f"Studies of {name}": f"<results>/corpora/{name}/rejected.csv" for name in corpora},
                **{
                    f"Reports of {name}, sections": f"<results>/reports/{name}/sections_rejected.csv"
                    for name in corpora
                },
                **{f"Reports of {name}, prompts": f"<results>/reports/{name}/prompts_rejected.csv" for name in corpora},
                **({"Vocabulary of concepts": "<results>/concepts/rejected.csv"} if self.concept_corpora() else {}),
                **{f"Sets of {name}": self.writer_file(name, "rejected.csv") for name in self.written()},
                **{f"Images of {title}": f"{folder}/rejected.csv" for title, folder in images.items()},
                **self.curation.rejected(),
            },
            "quality_table": dict(enumerate(self.quality.tables("md"))),
            "quality_figure": dict(enumerate(self.quality.tables("svg"))),
        }

    def _check_names(self) -> None:
        """Every name that a part of the config refers to must exist."""
        parts, scaling = self.parts, self.parts.tables.draw_scaling
        wanted = [
            *(
                (f"pair_sets.{key}.corpus", part.corpus, {**parts.corpora, **parts.concepts.written})
                for key, part in parts.pair_sets.items()
            ),
            *(
                (f"concepts.written.{key}.corpus", part.corpus, parts.corpora)
                for key, part in parts.concepts.written.items()
            ),
            *(
                (f"pair_sets.{key}.generator", part.generator, parts.generators)
                for key, part in parts.pair_sets.items()
                if part.generator
            ),
            *(
                (f"generators.{key}.corpus", part.corpus, parts.corpora)
                for key, part in parts.generators.items()
                if hasattr(part, "corpus")
            ),
            *((f"sources.{key}", name, parts.pair_sets) for key in parts.sources for name in self.sets_of(key)),
            *((f"encoders.only.{key}", key, parts.sources) for key in parts.encoders.only),
            *(
                (f"encoders.only.{key}", method, parts.encoders.methods)
                for key, methods in parts.encoders.only.items()
                for method in methods
            ),
            *(
                (f"tables.ablations.{key}", name, parts.sources)
                for key, members in parts.tables.ablations.items()
                for name in members
            ),
            *(("tables.draw_scaling.sources", name, parts.sources) for name in scaling.sources),
            *([("tables.draw_scaling.reference", scaling.reference, parts.sources)] if scaling.sources else []),
            *(("reports.published", name, parts.corpora) for name in parts.reports.published),
            ("tables.compare.reference", parts.tables.compare.reference, parts.sources),
            *self._wanted_baseline(),
            *(("concepts.corpora", name, parts.corpora) for name in parts.concepts.corpora),
            *(
                (f"tasks.datasets.{key}.corpus", part.corpus, parts.corpora)
                for key, part in parts.tasks.datasets.items()
                if hasattr(part, "corpus")
            ),
            *(
                (f"tasks.datasets.{key}.of", part.of, self._data_sets_for(part.task))
                for key, part in parts.tasks.datasets.items()
                if hasattr(part, "of")
            ),
            *self.quality.wanted(),
        ]
        problems = [
            f"{key}: there is no '{name}'; there are: {', '.join(known) or 'none'}{_nearest(name, known)}"
            for key, name, known in wanted
            if name not in known
        ]
        problems += [
            f"tables.ablations.{key}: a source is named twice in {', '.join(members)}"
            for key, members in parts.tables.ablations.items()
            if len(set(members)) < len(members)
        ]
        problems += [
            f"tables.ablations.{key}: {first} and {other} have no method in common (see encoders.only)"
            for key, first, other in sources.without_method(parts.tables.ablations, self.methods_of)
        ]
        problems += [
            f"concepts.written.{name}: a corpus has this name; give the set of written reports another one"
            for name in self.written()
            if name in parts.corpora
        ]
        problems += [
            f"pair_sets.{key}: {part.corpus} is a set of written reports, which has no images of its own; name the "
            "generator that draws them"
            for key, part in parts.pair_sets.items()
            if part.corpus in parts.concepts.written and not part.generator
        ]
        if not parts.encoders.methods and not parts.encoders.baselines:
            problems.append(
                "encoders.methods: []: neither it nor encoders.baselines names an encoder; name at least one"
            )
        problems += [] if parts.encoders.methods else self._without_method()
        if "imagenet" in parts.encoders.baselines and not parts.encoders.imagenet_weights:
            problems.append("encoders.baselines: 'imagenet' needs encoders.imagenet_weights")
        problems += self._key_problems()
        problems += self.quality.problems()
        problems += self.curation.problems()
        problems += self._unlike_autoencoders()
        problems += [
            f"encoders.{key}: {values!r}: one is named twice"
            for key, values in (("methods", parts.encoders.methods), ("seeds", parts.encoders.seeds))
            if len(set(values)) < len(values)
        ]
        if problems:
            raise StudyError(_listed(problems))

    def _key_problems(self) -> list[str]:
        """The demo's key must not stand in for the secret of real reports, unless these are public already."""
        part = self.parts.reports
        real = [
            name
            for name, corpus in self.parts.corpora.items()
            if corpus.kind != "phantom" and name not in part.published
        ]
        if not real or not _is_demo_key(Path(part.key_file)):
            return []
        return [
            f"reports.key_file: {part.key_file} is the demo's key, with which everyone can undo the dates of reports; "
            f"for {', '.join(real)} make your own outside of git, and name it here (docs/data.md): {NEW_KEY}; "
            "or list in reports.published the corpora whose texts are public already"
        ]

    def _without_method(self) -> list[str]:
        """What encoders without pre-training cannot do: they have no text side, and no number of pairs."""
        asking = [(name, task) for task in self.tasks() if task not in TRAINED for name in self.datasets(task)]
        found = [f"tasks.datasets.{name}: {task} asks encoders that are pre-trained" for name, task in asking]
        if self.parts.tables.draw_scaling.sources:
            found.append("tables.draw_scaling.sources: the curve is of encoders that are pre-trained")
        return [f"{problem}; name a method in encoders.methods" for problem in found]

    def _wanted_baseline(self) -> list[tuple[str, str, list[str]]]:
        """The baseline of comparisons; a study without baselines compares with none, whatever the name."""
        baselines = self.parts.encoders.baselines
        return [("tables.compare.baseline", self.parts.tables.compare.baseline, baselines)] if baselines else []

    def _unlike_autoencoders(self) -> list[str]:
        """Generators whose U-Net cannot shrink the latents that their autoencoder makes of their images."""
        found = []
        for name, part in self.parts.generators.items():
            if part.kind != "diffusion":
                continue
            unet, levels = part.train_diffusion, [part.train_autoencoder.channels, part.train_diffusion.channels]
            shrinks = 2 ** (sum(map(len, levels)) - 2)
            if unet.image_size % shrinks:
                found.append(
                    f"generators.{name}.train_diffusion.image_size: {unet.image_size}: is not a multiple of {shrinks}, "
                    f"by which {len(levels[0])} levels of the autoencoder and {len(levels[1])} of the U-Net shrink it"
                )
        return found

    def _data_sets_for(self, task: str) -> list[str]:
        """The data sets that a task without training may use."""
        return [name for kind in registry.tasks()[task].of for name in self.datasets(kind)]

    def _check_methods(self) -> None:
        """Shared settings of pre-training and overrides of data sets are checked against their jobs."""
        problems = []
        for key, section, values in self._loose_sections():
            try:
                section(**values)
            except ValidationError as error:
                problems.append(_explain(error, values, key, bare=True))
        if problems:
            raise StudyError(_listed(problems))

    def _loose_sections(self) -> list[tuple[str, type[Settings], dict]]:
        part = self.parts.encoders
        found = [
            (
                f"encoders.{method}",
                options(f"encoders.{method}", *PRETRAINING),
                {**part.pretrain, **getattr(part, method)},
            )
            for method in part.methods
        ]
        for name, dataset in self.parts.tasks.datasets.items():
            section, untrained = TASKS[dataset.task], registry.tasks().get(dataset.task)
            values = {**getattr(self.parts.tasks, section).model_dump(), **dataset.override}
            job = options(f"tasks.{section}", *untrained.given) if untrained else options(f"tasks.{dataset.task}")
            found.append((f"tasks.datasets.{name}.override", job, values))
        return found


def _is_demo_key(path: Path) -> bool:
    """Whether a key is the demo's: by its place, or by its content under another name."""
    if Path(os.path.normpath(path)).parts[-2:] == Path(DEMO_KEY).parts:
        return True
    try:
        if not path.is_file() or path.stat().st_size > 4096:  # a pipe can be read only once
            return False
        return hashlib.sha256(path.read_bytes().strip()).hexdigest() == DEMO_KEY_SHA256
    except OSError:
        return False


class _Wildcards:
    def __init__(self, items: tuple) -> None:
        self.__dict__.update(items)


def _all(part: BaseModel, *leave_out: str) -> dict[str, Any]:
    return {name: value for name, value in part.model_dump().items() if name not in leave_out}


def _report(name: str) -> Callable[[Study, Any], dict[str, Any]]:
    """Settings of a job of the reports; in an ablation's corpus marks of a de-identification stay."""
    return lambda s, w: {
        **_all(getattr(s.parts.reports, name)),
        "keep_markers": w.corpus in s.parts.reports.keep_markers,
    }


def _corpus(study: Study, w: Any) -> dict[str, Any]:
    return _all(study.parts.corpora[w.corpus], "kind", "path", "index")


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


def _audit(study: Study, w: Any) -> dict[str, Any]:
    part = study.parts.concepts.written[w.written]
    return {**_all(part.audit), "cap": part.sampling.cap if part.sampling.method == "balanced" else None}


def _frequencies(study: Study, w: Any) -> dict[str, Any]:
    sets = study.parts.concepts.written
    return {
        **_all(study.parts.concepts.draw_frequencies),
        "corpora": study.compared_corpora(),
        "written": study.written(),
        "samplings": [sets[name].sampling.method for name in study.written()],
    }


def _pretrain(study: Study, w: Any) -> dict[str, Any]:
    shared = study.parts.encoders
    drawn = sources.training(study.parts.sources[w.source])
    return {**shared.pretrain, **getattr(shared, w.method), **drawn, "seed": int(w.seed)}


def _baseline(study: Study, w: Any) -> dict[str, Any]:
    shared = {
        key: study.parts.encoders.pretrain[key]
        for key in ("architecture", "image_size")
        if key in study.parts.encoders.pretrain
    }
    return {**_all(study.parts.encoders.init_encoder), **shared, "seed": int(w.seed)}


def _dataset(study: Study, w: Any) -> dict[str, Any]:
    return _all(study.parts.tasks.datasets[w.dataset], "task", "corpus", "override")


def _task(verb: str) -> Callable[[Study, Any], dict[str, Any]]:
    return lambda s, w: {**_all(getattr(s.parts.tasks, verb)), **s.parts.tasks.datasets[w.dataset].override}


def _curation(job: str) -> Callable[[Study, Any], dict[str, Any]]:
    return lambda s, w: _all(getattr(s.parts.encoders.curation, job))


def _untrained(study: Study, w: Any) -> dict[str, Any]:
    task = registry.tasks()[getattr(w, "task", "grounding")]
    part = study.parts.tasks.datasets[w.dataset]
    own = {name: getattr(part, name) for name in task.given}
    return {**_all(getattr(study.parts.tasks, task.section)), **part.override, **own}


def _drawing() -> list[str]:
    """The settings of drawing: screening draws again with those that the shards were drawn with."""
    return list(importlib.import_module("synvlp.images.drawing").Settings.model_fields)


def _synthesize(study: Study, w: Any) -> dict[str, Any]:
    return kinds.drawing(study.parts.generators[w.generator].kind, _all(study.parts.images.synthesize))


def _repeats(study: Study, w: Any) -> dict[str, Any]:
    """Several images of each chosen prompt, drawn as all others are."""
    return {**JOBS["synthesize"][1](study, w), "copies": study.parts.images.quality.images_per_prompt}


def _screen(study: Study, w: Any) -> dict[str, Any]:
    drawing = {name: value for name, value in _synthesize(study, w).items() if name in _drawing()}
    return {**drawing, **_all(study.parts.images.screen)}


def _pairs(study: Study, w: Any) -> dict[str, Any]:
    own = study.parts.pair_sets[w.pair_set]
    return {**_all(study.parts.encoders.build_pairs), **{name: getattr(own, name) for name in OF_A_SET}}


def _train_generator(study: Study, w: Any) -> dict[str, Any]:
    return _all(getattr(study.parts.generators[w.generator], f"train_{w.kind}"))


def _runs(study: Study, task: str | None = None) -> dict[str, list]:
    runs = study.runs(task)
    return {
        "datasets": [run["dataset"] for run in runs],
        "methods": [run["method"] for run in runs],
        "sources": [run["source"] for run in runs],
        "encoder_seeds": [run["seed"] for run in runs],
    }


def _compare(study: Study, w: Any) -> dict[str, Any]:
    exclusive = [
        name for name in study.datasets("classification") if study.parts.tasks.datasets[name].kind == "exclusive"
    ]
    part = study.parts.tables
    chosen = {"tasks": [run["task"] for run in study.runs()], "exclusive": exclusive}
    more = sources.contrasts(part.ablations, part.compare.reference)
    if more:
        chosen |= {"compared": [other for other, _ in more], "compared_with": [first for _, first in more]}
    return {**_all(part.compare), **_runs(study), **chosen}


def _scaling(study: Study, w: Any) -> dict[str, Any]:
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


def _page(study: Study, w: Any) -> dict[str, Any]:
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
JOBS: dict[str, tuple[str, Callable[[Study, Any], dict[str, Any]]]] = {
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


def _result(run: Mapping[str, Any], name: str) -> str:
    return "<results>/tasks/{task}/{dataset}/{method}/{source}/seed-{seed}".format(**run) + f"/{name}"


def _inside(folder: str | None, main: str = "config.json") -> list[str]:
    """The files of a model's folder; its main one where the folder is not here, so that Snakemake says so."""
    if not folder:
        return []
    endings = {".json", ".txt", ".safetensors", ".jinja", ".model"}
    inside = sorted(str(path) for path in Path(folder).rglob("*") if path.suffix in endings)
    return inside or [str(Path(folder) / main)]


def module_of(rule: str, wildcards: Any) -> str:
    """The module of a rule's job. Names of tasks may hold hyphens, those of modules have underscores."""
    return JOBS[rule][0].format(**dict(wildcards.items())).replace("-", "_")


def _part(module: str, *given: str) -> tuple[Any, Any]:
    made = options(module, *given)
    return (made, Field(default_factory=made))


def _field(module: str, name: str) -> tuple[Any, Any]:
    """One setting of a job, as another section of the config holds it."""
    field = importlib.import_module(f"synvlp.{module}").Settings.model_fields[name]
    return (field.annotation, field)


def _about(meaning: str, default: Any = ..., **limits: Any) -> Any:
    return Field(default, description=meaning, **limits)


def _without_null(value: Any) -> Any:
    """A mapping without its null entries: an overlay removes an entry by setting it to null."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_null(item) for key, item in value.items() if item is not None}


def _expand(value: Any) -> Any:
    """Text with ${NAME} or ${NAME:-default} replaced from the environment."""
    if isinstance(value, Mapping):
        return {key: _expand(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(lambda m: os.environ.get(m[1]) or m[2] or "", value)


def _explain(error: ValidationError, config: Mapping, prefix: str = "", bare: bool = False) -> str:
    problems = [_problem(item, config, prefix) for item in error.errors()]
    return "\n  ".join(problems) if bare else _listed(problems)


def _problem(item: Mapping[str, Any], config: Mapping, prefix: str) -> str:
    place = [str(part) for part in _real_keys(item["loc"], config)]
    key = ".".join([*filter(None, [prefix]), *place])
    if item["type"] == "extra_forbidden":
        return f"{key}: there is no such key{_near_key(item['loc'], prefix)} (its value here: {item['input']!r})"
    if item["type"] == "missing":
        return f"{key}: is missing"
    if item["type"].startswith("union_tag"):
        context = item.get("ctx", {})
        tags = context.get("expected_tags", "those in docs/settings.md")
        return f"{key}: {context.get('discriminator', 'kind')} must be one of {tags}"
    misfit = item.get("ctx", {}).get("error")
    if isinstance(misfit, Misfit):
        return f"{key}.{misfit.setting}: {misfit.value!r}: {misfit.wrong}"
    return f"{key}: {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"


def _real_keys(place: tuple, config: Mapping) -> list:
    """The keys of `place` without the tags that pydantic puts in for tagged unions."""
    found: list = []
    value: Any = config
    for index, key in enumerate(place):
        last = index == len(place) - 1
        inside = (isinstance(value, Mapping) and key in value) or (isinstance(value, list) and isinstance(key, int))
        if not inside and not last:
            continue
        found.append(key)
        value = value[key] if inside and not (isinstance(value, list) and key >= len(value)) else None
    return found


def _near_key(place: tuple, prefix: str) -> str:
    known = _known_keys()
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    return f"; did you mean '{near[0]}'?" if near else "; docs/settings.md lists them"


@functools.cache
def _known_keys() -> list[str]:
    names: set[str] = set()
    todo: list[Any] = [schema()]
    for method in METHODS:
        todo.append(options(f"encoders.{method}", *PRETRAINING))
    while todo:
        model = todo.pop()
        if isinstance(model, type) and issubclass(model, BaseModel):
            names.update(model.model_fields)
            todo.extend(field.annotation for field in model.model_fields.values())
        else:
            todo.extend(getattr(model, "__args__", ()))
    return sorted(names)


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _listed(problems: list[str]) -> str:
    return "the config cannot be used:\n  " + "\n  ".join(problems)
