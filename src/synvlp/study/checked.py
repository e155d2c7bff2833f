"""A checked study: what it holds, and the files that rules ask it for."""

import functools
import importlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from synvlp import kinds, provenance, registry
from synvlp.concepts import writers
from synvlp.study import checks, problems, quality, reading, shown, sources
from synvlp.study.curation import Curation
from synvlp.study.jobs import DRAWING, JOBS, KEYS, module_of
from synvlp.study.problems import StudyError
from synvlp.study.sections import TASKS, TRAINED, schema

LANGUAGE_MODEL = {
    "config": "config.json",
    "weights": "model.safetensors",
    "tokenizer": "tokenizer.json",
    "tokenizer_config": "tokenizer_config.json",
}
# What a data set of a task has beside samples, pixels and description.
TARGETS = {"segmentation": {"masks": "masks.npy"}, "detection": {"boxes": "boxes.json"}}
TARGETS["retrieval"] = {"texts": "texts.parquet"}


class Study:
    """A checked config, and the answers that the rules need from it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Check `config` (nested mappings, as YAML gives them). Raises StudyError listing every problem."""
        model = schema()
        self._unexpanded = reading.without_null(config)
        plain = reading.expanded(self._unexpanded)
        try:
            self.parts = model.model_validate(plain)
        except ValidationError as error:
            raise StudyError(problems.explain(error, plain)) from None
        self.name = self.parts.study
        self.quality = quality.Quality(self)
        used = {name for source in self.parts.sources for name in self.sets_of(source)}
        self.curation = Curation(self.parts.pair_sets, used & set(self.parts.pair_sets))
        checks.check(self)

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
        """Every encoder of the study as wildcards (method, source, seed), baselines first.

        Random weights are drawn once per seed, as pre-training is; published ones are the same for all seeds.
        """
        part = self.parts.encoders
        drawn = {"random": part.seeds}
        runs = [
            {"method": method, "source": "none", "seed": seed}
            for method in part.baselines
            for seed in drawn.get(method, part.seeds[:1])
        ]
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
        names = [match[1] for match in reading.VARIABLE.finditer(value)] if isinstance(value, str) else []
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
        """What the study's page shows: see `shown.page`."""
        return shown.page(self)


class _Wildcards:
    def __init__(self, items: tuple) -> None:
        self.__dict__.update(items)


def _result(run: Mapping[str, Any], name: str) -> str:
    return "<results>/tasks/{task}/{dataset}/{method}/{source}/seed-{seed}".format(**run) + f"/{name}"


def _inside(folder: str | None, main: str = "config.json") -> list[str]:
    """The files of a model's folder; its main one where the folder is not here, so that Snakemake says so."""
    if not folder:
        return []
    endings = {".json", ".txt", ".safetensors", ".jinja", ".model"}
    inside = sorted(str(path) for path in Path(folder).rglob("*") if path.suffix in endings)
    return inside or [str(Path(folder) / main)]
