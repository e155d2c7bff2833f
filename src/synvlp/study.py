"""The study: the schema of the whole config, its check, and what each rule passes to its job.

Every setting is defined once, in its job's module; the classes here only gather them. No job imports
this module, so that a new setting elsewhere reruns nothing.
"""

import difflib
import functools
import importlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, create_model

from synvlp import provenance
from synvlp.curation import Curation
from synvlp.job import Settings

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
METHODS = ("convirt", "gloria", "mgca")
TASKS = {"classification": "classify", "segmentation": "segment", "detection": "detect"}


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
    return create_model(module.replace(".", " "), __base__=Settings, **fixed, **fields)


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
        anonymize=_part("reports.anonymize"),
        split_sections=_part("reports.sections"),
        write_prompts=_part("reports.prompts"),
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
    )
    pair_set = create_model(
        "pair set",
        __base__=Section,
        corpus=(Name, _about("the corpus whose texts are paired")),
        generator=(
            Name | None,
            _about("whose images they are paired with; left out: the corpus's own", None),
        ),
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
        seeds=(list[int], _about("one encoder is pre-trained per method, source and seed", [0])),
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
        build_pairs=_part("encoders.pairs"),
        pretrain=(dict[str, Any], _about("settings that all methods share", {})),
        **{method: (dict[str, Any], _about(f"settings of {method}, over those of pretrain", {})) for method in METHODS},
        init_encoder=_part("encoders.baseline", "seed", "architecture", "image_size"),
    )
    dataset = functools.reduce(
        lambda one, other: one | other,
        (
            options(
                f"tasks.{task}_set",
                task=(Literal[task], ...),
                corpus=(Name, _about("the corpus it is made from")),
                override=(dict[str, Any], _about(f"settings of {verb} for this data set alone", {})),
            )
            for task, verb in TASKS.items()
        ),
    )
    tasks = create_model(
        "tasks",
        __base__=Section,
        datasets=(dict[Name, Annotated[dataset, Field(discriminator="task")]], ...),
        encode=_part("tasks.features"),
        classify=_part("tasks.classification"),
        segment=_part("tasks.segmentation"),
        detect=_part("tasks.detection"),
    )
    runs = ("tasks", "datasets", "methods", "sources", "encoder_seeds")
    tables = create_model(
        "tables",
        __base__=Section,
        tabulate=_part("tables.tabulate", "task", *runs[1:]),
        compare=_part("tables.comparison", *runs, "exclusive"),
        draw_figure=_part("tables.figure", "task", "baseline"),
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
        generators=(dict[Name, Annotated[generator, Field(discriminator="kind")]], {}),
        images=(images, images()),
        pair_sets=(dict[Name, pair_set], ...),
        sources=(dict[Name, dict[Name, Annotated[float, Field(gt=0)]]], ...),
        encoders=(encoders, ...),
        tasks=(tasks, ...),
        tables=(tables, tables()),
        versions=(versions, versions()),
    )


# Verb -> the settings that the workflow gives its job.
GIVEN = {
    "init-encoder": ("seed", "architecture", "image_size"),
    **{f"pretrain-{method}": ("weights", "seed") for method in METHODS},
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
        plain = _expand(_without_null(config))
        try:
            self.parts = model.model_validate(plain)
        except ValidationError as error:
            raise StudyError(_explain(error, plain)) from None
        self.name = self.parts.study
        used = {name for source in self.parts.sources.values() for name in source}
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
        module, choose = JOBS[rule]

        @functools.cache
        def flags(module: str, wildcards: tuple) -> str:
            source = importlib.import_module(module).Settings
            return source(**choose(self, _Wildcards(wildcards))).flags()

        return lambda w: flags(_name(module, w), tuple(sorted(w.items())))

    def processes(self, rule: str) -> Callable[[Any], int]:
        """For a rule's `threads` and `gpu`: the processes that its job starts, each with a GPU if there is one."""
        module, choose = JOBS[rule]
        return lambda w: importlib.import_module(_name(module, w)).Settings(**choose(self, w)).processes

    def code(self, rule: str) -> Callable[[Any], str]:
        """For a rule's `params: code=`: the fingerprint of all code that its job runs."""
        module, _ = JOBS[rule]
        return lambda w: provenance.fingerprint(_name(module, w))

    def keys(self, rule: str, wildcards: Mapping[str, str]) -> list[str]:
        """The keys of the config that a job's settings and inputs come from: "encoders.gloria", "images.shards", …

        Of a section that a method overrides, only the keys that hold for the method.
        """
        found = [key.format(**wildcards) for key in KEYS[rule]]
        if rule == "pretrain":
            own = getattr(self.parts.encoders, wildcards["method"])
            found += [f"encoders.pretrain.{name}" for name in self.parts.encoders.pretrain if name not in own]
        return sorted(found)

    def fingerprints(self) -> dict[str, str]:
        """Module of every job of the study -> fingerprint of its code."""
        modules = {
            module.format(method=method) for module, _ in JOBS.values() for method in self.parts.encoders.methods
        }
        return {module: provenance.fingerprint(module) for module in sorted(modules)}

    def names(self, section: str, /, **having: str) -> str:
        """A regular expression of the names in a section, for wildcard constraints.

        `having` keeps those with these values, such as kind="phantom".
        """
        parts = self.parts.tasks.datasets if section == "datasets" else getattr(self.parts, section)
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
        ]
        return runs

    def datasets(self, task: str | None = None) -> list[str]:
        """The names of the data sets, of one task or of all."""
        return [name for name, part in sorted(self.parts.tasks.datasets.items()) if task in (None, part.task)]

    def runs(self, task: str | None = None) -> list[dict[str, Any]]:
        """Every encoder on every data set of a task (or of all), as wildcards and its task."""
        return [
            {"task": kind, "dataset": dataset, **encoder}
            for kind in ([task] if task else self.tasks())
            for dataset in self.datasets(kind)
            for encoder in self.encoders()
        ]

    def tasks(self) -> list[str]:
        """The tasks that have a data set."""
        return [task for task in TASKS if self.datasets(task)]

    def image_sets(self) -> list[dict[str, str]]:
        """The sets of synthetic images that some source needs, as wildcards (generator, corpus)."""
        used = {name for source in self.parts.sources.values() for name in source}
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
        folder = Path(
            getattr(part, {"finetuned": "finetune_diffusion", "published": "adopt_pipeline"}[part.kind]).pipeline_folder
        )
        endings = {".json", ".txt", ".safetensors"}
        return sorted(str(path) for path in folder.rglob("*") if path.suffix in endings) or [
            str(folder / "model_index.json")
        ]

    def files_from_outside(self) -> list[str]:
        """Every file that the study reads and does not make: of its corpora, its key, its weights."""
        corpora = [self.parts.corpora[name] for name in self.corpora()]
        found = [getattr(corpus, key, None) for corpus in corpora for key in ("path", "index")]
        found += [self.parts.reports.key_file, self.parts.encoders.imagenet_weights]
        found += [self.text_file(name) for name in ("config.json", "model.safetensors")]
        for generator in sorted({item["generator"] for item in self.image_sets()}):
            if self.parts.generators[generator].kind != "diffusion":
                found += self.pipeline_source(generator)
        return [path for path in found if path]

    def beside_manifest(self, kind: str) -> Callable[[Any], list[str]]:
        """For the rule that reads a manifest: the files of a kind that lie beside it (see corpora.manifest)."""
        beside = importlib.import_module("synvlp.corpora.manifest").beside
        return lambda w: beside(self.parts.corpora[w.corpus].path)[kind]

    def corpora(self) -> list[str]:
        """The names of the corpora that something in the study uses."""
        used = {part.corpus for part in self.parts.pair_sets.values()}
        used |= {part.corpus for part in self.parts.tasks.datasets.values()}
        used |= {part.corpus for part in self.parts.generators.values() if hasattr(part, "corpus")}
        return sorted(used)

    def measured(self) -> list[str]:
        """The corpora whose true identifiers are known, so that anonymization can be measured."""
        return [name for name in self.corpora() if self.parts.corpora[name].kind == "phantom"]

    def text_corpora(self) -> list[str]:
        """The corpora whose texts the encoders read."""
        return sorted({part.corpus for part in self.parts.pair_sets.values()})

    def pair_file(self, pair_set: str, name: str) -> str:
        """A file of what a set of pairs is made from: "prompts" or "images", a generator's or the corpus's own."""
        part = self.parts.pair_sets[pair_set]
        if name == "images" and part.generator:
            return f"<results>/images/{part.generator}/{part.corpus}/images.parquet"
        return self.curation.judged(part.corpus, "corrupted" if part.corrupted else "raw", name)

    def corpus_file(self, name: str) -> Callable[[Any], str]:
        """For a data set's rule: the file `name` of the corpus that the data set is made from."""
        return lambda w: f"<results>/corpora/{self.parts.tasks.datasets[w.dataset].corpus}/{name}"

    def sample_files(self, task: str, **more: str) -> dict[str, str]:
        """The files of a task's data set: samples, pixels, what they are, and the task's own targets."""
        names = {"samples": "samples.parquet", "pixels": "pixels.npy", "description": "dataset.json", **more}
        return {key: f"<results>/tasks/{task}/{{dataset}}/{name}" for key, name in names.items()}

    def results(self, name: str, task: str | None = None) -> list[str]:
        """The file `name` of every run of a task, or of all tasks, in the order of `runs`."""
        place = "<results>/tasks/{task}/{dataset}/{method}/{source}/seed-{seed}"
        return [f"{place.format(**run)}/{name}" for run in self.runs(task)]

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
            **{f"Real beside synthetic: {title}": f"{folder}/sheet.png" for title, folder in images.items()},
            **{f"Samples of {name}": f"<results>/generators/{name}/samples.png" for name in trained},
            **{
                f"What the autoencoder of {name} keeps": f"<results>/generators/{name}/autoencoder/reconstructions.png"
                for name in scratch
            },
            **{f"Loss of {name}": f"<results>/generators/{name}/curve.png" for name in trained},
            **self.curation.pictures(),
            **{
                f"Loss of {method}, {source}": f"<results>/encoders/{method}/{source}/seed-{first}/curve.png"
                for method in self.parts.encoders.methods
                for source in sorted(self.parts.sources)
            },
        }
        return {
            "pictures": pictures,
            "examples": {
                (run["task"], run["dataset"], run["method"], run["source"]): path
                for task in ("segmentation", "detection")
                for run, path in zip(self.runs(task), self.results("examples.png", task), strict=True)
                if run["seed"] == first
            },
            "audits": {name: f"<results>/reports/{name}/audit.json" for name in corpora},
            "measures": {name: f"<results>/reports/{name}/measures.json" for name in drawn},
            "screenings": {title: f"{folder}/summary.json" for title, folder in images.items()},
            "rejected": {
                **{f"Studies of {name}": f"<results>/corpora/{name}/rejected.csv" for name in corpora},
                **{
                    f"Reports of {name}, sections": f"<results>/reports/{name}/sections_rejected.csv"
                    for name in corpora
                },
                **{f"Reports of {name}, prompts": f"<results>/reports/{name}/prompts_rejected.csv" for name in corpora},
                **{f"Images of {title}": f"{folder}/rejected.csv" for title, folder in images.items()},
                **self.curation.rejected(),
            },
        }

    def _check_names(self) -> None:
        """Every name that a part of the config refers to must exist."""
        parts = self.parts
        wanted = [
            *((f"pair_sets.{key}.corpus", part.corpus, parts.corpora) for key, part in parts.pair_sets.items()),
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
            *((f"sources.{key}", name, parts.pair_sets) for key, part in parts.sources.items() for name in part),
            *(
                (f"tasks.datasets.{key}.corpus", part.corpus, parts.corpora)
                for key, part in parts.tasks.datasets.items()
            ),
        ]
        problems = [
            f"{key}: there is no '{name}'; there are: {', '.join(known) or 'none'}{_nearest(name, known)}"
            for key, name, known in wanted
            if name not in known
        ]
        if "imagenet" in parts.encoders.baselines and not parts.encoders.imagenet_weights:
            problems.append("encoders.baselines: 'imagenet' needs encoders.imagenet_weights")
        problems += self.curation.problems()
        if problems:
            raise StudyError(_listed(problems))

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
                options(f"encoders.{method}", "weights", "seed"),
                {**part.pretrain, **getattr(part, method)},
            )
            for method in part.methods
        ]
        for name, dataset in self.parts.tasks.datasets.items():
            verb = TASKS[dataset.task]
            values = {**getattr(self.parts.tasks, verb).model_dump(), **dataset.override}
            found.append((f"tasks.datasets.{name}.override", options(f"tasks.{dataset.task}"), values))
        return found


class _Wildcards:
    def __init__(self, items: tuple) -> None:
        self.__dict__.update(items)


def _all(part: BaseModel, *leave_out: str) -> dict[str, Any]:
    return {name: value for name, value in part.model_dump().items() if name not in leave_out}


def _corpus(study: Study, w: Any) -> dict[str, Any]:
    return _all(study.parts.corpora[w.corpus], "kind", "path", "index")


def _pretrain(study: Study, w: Any) -> dict[str, Any]:
    shared = study.parts.encoders
    source = study.parts.sources[w.source]
    weights = [source[name] for name in sorted(source)]
    return {**shared.pretrain, **getattr(shared, w.method), "weights": weights, "seed": int(w.seed)}


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


def _drawing() -> list[str]:
    """The settings of drawing: screening draws again with those that the shards were drawn with."""
    return list(importlib.import_module("synvlp.images.drawing").Settings.model_fields)


def _screen(study: Study, w: Any) -> dict[str, Any]:
    drawing = {name: getattr(study.parts.images.synthesize, name) for name in _drawing()}
    return {**drawing, **_all(study.parts.images.screen)}


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
    tasks = [run["task"] for run in study.runs()]
    return {**_all(study.parts.tables.compare), **_runs(study), "tasks": tasks, "exclusive": exclusive}


def _page(study: Study, w: Any) -> dict[str, Any]:
    page = study.page()
    titles = {
        setting: list(page[kind])
        for setting, kind in (
            ("picture_titles", "pictures"),
            ("audit_titles", "audits"),
            ("measure_titles", "measures"),
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
    "anonymize": ("synvlp.reports.anonymize", lambda s, w: _all(s.parts.reports.anonymize)),
    "measure_anonymization": ("synvlp.reports.measure", lambda s, w: {}),
    "split_sections": ("synvlp.reports.sections", lambda s, w: _all(s.parts.reports.split_sections)),
    "write_prompts": ("synvlp.reports.prompts", lambda s, w: _all(s.parts.reports.write_prompts)),
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
    "partition": ("synvlp.images.partition", lambda s, w: _all(s.parts.images.partition)),
    "synthesize": ("synvlp.images.synthesize", lambda s, w: _all(s.parts.images.synthesize)),
    "screen": ("synvlp.images.screen", _screen),
    "contact_sheet": ("synvlp.images.sheet", lambda s, w: _all(s.parts.images.contact_sheet)),
    "train_tokenizer": ("synvlp.encoders.tokenizer", lambda s, w: _all(s.parts.encoders.train_tokenizer)),
    "corrupt_corpus": ("synvlp.encoders.curation.corrupt", _curation("corrupt")),
    "judge_images": ("synvlp.encoders.curation.judge_images", _curation("judge_images")),
    "judge_pairs": ("synvlp.encoders.curation.judge_pairs", _curation("judge_pairs")),
    "find_duplicates": ("synvlp.encoders.curation.duplicates", _curation("find_duplicates")),
    "curate": ("synvlp.encoders.curation.curate", _curation("curate")),
    "measure_curation": ("synvlp.encoders.curation.measure", _curation("measure")),
    "build_pairs": ("synvlp.encoders.pairs", lambda s, w: _all(s.parts.encoders.build_pairs)),
    "pretrain": ("synvlp.encoders.{method}", _pretrain),
    "init_encoder": ("synvlp.encoders.baseline", _baseline),
    "build_classification_set": ("synvlp.tasks.classification_set", _dataset),
    "build_segmentation_set": ("synvlp.tasks.segmentation_set", _dataset),
    "build_detection_set": ("synvlp.tasks.detection_set", _dataset),
    "encode": ("synvlp.tasks.features", lambda s, w: _all(s.parts.tasks.encode)),
    "classify": ("synvlp.tasks.classification", _task("classify")),
    "segment": ("synvlp.tasks.segmentation", _task("segment")),
    "detect": ("synvlp.tasks.detection", _task("detect")),
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
    "write_page": ("synvlp.tables.page", _page),
}


_RUNS = ("sources", "encoders.methods", "encoders.baselines", "encoders.seeds", "tasks.datasets")
_SET = ("tasks.datasets.{dataset}",)

# Rule -> the keys of the config that its job depends on; they may hold wildcards. `Study.keys` adds what pre-training
# methods share.
KEYS: dict[str, tuple[str, ...]] = {
    "draw_phantoms": ("corpora.{corpus}",),
    "read_manifest": ("corpora.{corpus}",),
    "read_iu": ("corpora.{corpus}",),
    "anonymize": ("reports.anonymize", "reports.key_file"),
    "measure_anonymization": (),
    "split_sections": ("reports.split_sections",),
    "write_prompts": ("reports.write_prompts",),
    "select_pairs": ("generators.{generator}.corpus",),
    "train_autoencoder": ("generators.{generator}.train_autoencoder",),
    "train_diffusion": ("generators.{generator}.train_diffusion",),
    "finetune_diffusion": ("generators.{generator}.finetune_diffusion",),
    "adopt_pipeline": ("generators.{generator}.adopt_pipeline",),
    "partition": ("images.partition", "images.shards"),
    "synthesize": ("images.synthesize",),
    "screen": ("images.screen", "images.synthesize", "images.shards"),
    "contact_sheet": ("images.contact_sheet",),
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
    "tabulate": _RUNS,
    "summarize": _RUNS,
    "compare": ("tables.compare", *_RUNS),
    "draw_figure": ("tables.draw_figure", "tables.compare.baseline"),
    "write_page": ("study", "tables.compare.reference", "corpora", "generators", *_RUNS),
}


def _name(module: str, wildcards: Any) -> str:
    return module.format(**dict(wildcards.items())) if "{" in module else module


def _part(module: str, *given: str) -> tuple[Any, Any]:
    made = options(module, *given)
    return (made, Field(default_factory=made))


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
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda m: os.environ.get(m[1]) or m[2] or "", value)


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
        todo.append(options(f"encoders.{method}", "weights", "seed"))
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
