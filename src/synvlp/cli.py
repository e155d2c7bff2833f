"""The command line: one verb per kind of job, its options made from the job's own classes."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from synvlp import processes, provenance, registry
from synvlp.concepts import writers
from synvlp.generators import kinds

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from synvlp.study import Study

# Verb -> module of the job. Modules are imported when their verb is called, and only then.
VERBS = {
    "draw-phantoms": "synvlp.corpora.phantom",
    "read-manifest": "synvlp.corpora.manifest",
    "read-iu": "synvlp.corpora.iu",
    "anonymize": "synvlp.reports.anonymize",
    "measure-anonymization": "synvlp.reports.measure",
    "split-sections": "synvlp.reports.sections",
    "write-prompts": "synvlp.reports.prompts",
    "read-vocabulary": "synvlp.concepts.reading",
    "extract-concepts": "synvlp.concepts.extract",
    "measure-extraction": "synvlp.concepts.measure",
    "sample-concepts": "synvlp.concepts.sampling",
    "train-writer": "synvlp.concepts.language_model",
    **{f"write-reports-{kind}": f"synvlp.concepts.writers.{kind}" for kind in writers.KINDS},
    "audit-reports": "synvlp.concepts.audit",
    "draw-frequencies": "synvlp.concepts.frequencies",
    "select-pairs": "synvlp.generators.selection",
    "train-autoencoder": "synvlp.generators.autoencoder",
    "train-diffusion": "synvlp.generators.diffusion",
    "finetune-diffusion": "synvlp.generators.finetune",
    "adopt-pipeline": "synvlp.generators.adopt",
    **{f"train-{kind}": f"synvlp.generators.kinds.{kind}" for kind in kinds.names()},
    "partition": "synvlp.images.partition",
    "synthesize": "synvlp.images.synthesize",
    "screen": "synvlp.images.screen",
    "contact-sheet": "synvlp.images.sheet",
    "embed-images": "synvlp.images.quality.embed",
    "measure-fidelity": "synvlp.images.quality.fidelity",
    "measure-memorization": "synvlp.images.quality.memorization",
    "select-repeats": "synvlp.images.quality.repeats",
    "measure-diversity": "synvlp.images.quality.diversity",
    "measure-agreement": "synvlp.images.quality.agreement",
    "train-tokenizer": "synvlp.encoders.tokenizer",
    "corrupt-corpus": "synvlp.encoders.curation.corrupt",
    "judge-images": "synvlp.encoders.curation.judge_images",
    "judge-pairs": "synvlp.encoders.curation.judge_pairs",
    "find-duplicates": "synvlp.encoders.curation.duplicates",
    "curate": "synvlp.encoders.curation.curate",
    "measure-curation": "synvlp.encoders.curation.measure",
    "build-pairs": "synvlp.encoders.pairs",
    "pretrain-convirt": "synvlp.encoders.convirt",
    "pretrain-gloria": "synvlp.encoders.gloria",
    "pretrain-mgca": "synvlp.encoders.mgca",
    "init-encoder": "synvlp.encoders.baseline",
    "build-classification-set": "synvlp.tasks.classification_set",
    "build-segmentation-set": "synvlp.tasks.segmentation_set",
    "build-detection-set": "synvlp.tasks.detection_set",
    "encode": "synvlp.tasks.features",
    "classify": "synvlp.tasks.classification",
    "segment": "synvlp.tasks.segmentation",
    "detect": "synvlp.tasks.detection",
    "build-retrieval-set": "synvlp.tasks.retrieval_set",
    **{name: task.module for name, task in registry.tasks().items()},
    "tabulate": "synvlp.tables.tabulate",
    "summarize": "synvlp.tables.summary",
    "compare": "synvlp.tables.comparison",
    "draw-figure": "synvlp.tables.figure",
    "draw-ablation": "synvlp.tables.ablation",
    "draw-scaling": "synvlp.tables.scaling",
    "tabulate-quality": "synvlp.tables.quality",
    "draw-quality": "synvlp.tables.quality_figure",
    "write-page": "synvlp.tables.page",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `synvlp VERB …`; returns the exit status.

    It is 0, 1 for a job that failed, 2 for a wrong command, and 75 for a job that a signal ended in order.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help"}:
        print(overview())
        return 0 if words else 2
    verb = words.pop(0)
    if verb in TOOLS:
        return _call(TOOLS[verb][0], words)
    if verb not in VERBS:
        print(f"synvlp: there is no verb '{verb}'{_nearest(verb)}; `synvlp --help` lists them", file=sys.stderr)
        return 2
    module = importlib.import_module(VERBS[verb])
    options = vars(parser(verb, module).parse_args(words))
    return _run(verb, module, options)


def overview() -> str:
    """The text of `synvlp --help`."""
    lines = ["usage: synvlp VERB --option value …", "", provenance.docstring("synvlp"), ""]
    width = max(map(len, VERBS)) + 2
    stage = ""
    for verb, name in VERBS.items():
        if stage != (stage := name.split(".")[1]):
            lines.append(f"{stage}:")
        lines.append(f"  {verb:{width}}{provenance.docstring(name)}")
    lines.append("about the study:")
    lines.extend(f"  {name:{width}}{meaning}" for name, (_, meaning) in TOOLS.items())
    lines += ["", "`synvlp VERB --help` explains a verb's options. The whole study: snakemake --cores all"]
    return "\n".join(lines)


def parser(verb: str, module: ModuleType) -> argparse.ArgumentParser:
    """The options of a verb, from its module's Inputs, Outputs and Settings."""
    made = argparse.ArgumentParser(f"synvlp {verb}", description=module.__doc__, allow_abbrev=False)
    for title, model in (
        ("inputs", module.Inputs),
        ("outputs", module.Outputs),
        ("settings", module.Settings),
    ):
        group = made.add_argument_group(title)
        for name, field in model.model_fields.items():
            many = any(get_origin(item) is list for item in _flat(field.annotation))
            group.add_argument(
                f"--{name.replace('_', '-')}",
                dest=f"{title}.{name}",
                metavar="PATH" if title != "settings" else _unit(field) or "VALUE",
                nargs="*" if many else "?" if title == "inputs" and not field.is_required() else None,
                required=field.is_required(),
                default=argparse.SUPPRESS,
                help=_explain(field),
            )
    return made


def check(words: Sequence[str]) -> int:
    """`synvlp check [OVERLAY …]`: check config.yaml with overlays on it, as the workflow does at its start."""
    made = _tool("check", check)
    try:
        print(_study(made.parse_args(words).overlays).describe())
    except ConfigError as error:
        print(f"synvlp check: {error}", file=sys.stderr)
        return 1
    return 0


def doctor(words: Sequence[str]) -> int:
    """`synvlp doctor [OVERLAY …]`: look at what a study needs of this machine; 1 if something is missing."""
    from synvlp import doctor as machine

    made = _tool("doctor", doctor)
    made.add_argument("--slurm", action="store_true", help="the run is to be submitted to SLURM from here")
    made.add_argument("--checksums", action="store_true", help="hash large files, and compare with SHA256SUMS")
    asked = made.parse_args(words)
    try:
        rows = machine.examine(_study(asked.overlays), slurm=asked.slurm, checksums=asked.checksums)
    except ConfigError as error:
        print(f"synvlp doctor: {error}", file=sys.stderr)
        return 1
    print(machine.report(rows))
    return int(any(row.verdict == "missing" for row in rows))


def plan(words: Sequence[str]) -> int:
    """`synvlp plan [OVERLAY …]`: what a study will cost: jobs, GPU-hours, CPU-hours, disk, the longest chain."""
    import json

    from synvlp import costs, dag
    from synvlp import plan as planning

    kinds = ["cpu", *costs.RATES["peaks"]]
    made = _tool("plan", plan)
    made.add_argument("--gpu", default="cpu", choices=kinds, help="kind of GPU; cpu: GPU jobs run on the CPU")
    made.add_argument(
        "--studies",
        action="append",
        default=[],
        type=_count,
        metavar="CORPUS=N",
        help="how many studies a corpus has, where its data are not here",
    )
    made.add_argument("--json", action="store_true", help="print the plan as JSON")
    asked = made.parse_args(words)
    try:
        study = _study(asked.overlays)
        unknown = set(dict(asked.studies)) - set(study.corpora())
        if unknown:
            raise ConfigError(f"--studies: the study has no corpus {', '.join(sorted(unknown))}")
        found = planning.make(study, planning.jobs(study), asked.gpu, dict(asked.studies))
    except (ConfigError, dag.DagError) as error:
        print(f"synvlp plan: {error}", file=sys.stderr)
        return 1
    print(json.dumps(planning.as_data(found), indent=2, ensure_ascii=False) if asked.json else planning.text(found))
    return 0


def settings(words: Sequence[str]) -> int:
    """`synvlp settings`: print the reference of all settings (Markdown)."""
    from synvlp import reference

    print(reference.markdown(), end="")
    return 0


def schema(words: Sequence[str]) -> int:
    """`synvlp schema`: print the JSON schema of the config, for editors."""
    from synvlp import reference

    print(reference.json_schema(), end="")
    return 0


def dvc_yaml(words: Sequence[str]) -> int:
    """`synvlp dvc-yaml [OVERLAY …]`: write a study's dvc.yaml from the rules; --check only says if it differs."""
    from synvlp import dag
    from synvlp.versions import record as recording
    from synvlp.versions import stages

    made = _tool("dvc-yaml", dvc_yaml)
    made.add_argument("--check", action="store_true", help="write nothing; exit status 1 if the file would change")
    asked = made.parse_args(words)
    try:
        study = _study(asked.overlays)
        text = stages.text(stages.stages(dag.jobs(asked.overlays), study, asked.overlays), asked.overlays)
    except (ConfigError, dag.DagError) as error:
        print(f"synvlp dvc-yaml: {error}", file=sys.stderr)
        return 1
    path = stages.place(study)
    if not asked.check:
        print(f"{path} {'is written' if recording.write(path, text) else 'is as it was'}")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return 0
    print(f"{path} differs from the rules; write it anew: {' '.join(['synvlp dvc-yaml', *asked.overlays])}")
    return 1


def record(words: Sequence[str]) -> int:
    """`synvlp record [OVERLAY …]`: record in dvc.lock and DVC's cache what Snakemake says is up to date."""
    from synvlp import dag
    from synvlp.versions import record as recording

    asked = _tool("record", record).parse_args(words)
    try:
        for line in recording.record(_study(asked.overlays), asked.overlays):
            print(f"versions: {line}", flush=True)
    except recording.Refused as reason:
        print(f"versions: {reason}")
    except (ConfigError, dag.DagError) as error:
        print(f"synvlp record: {error}", file=sys.stderr)
        return 1
    return 0


def why(words: Sequence[str]) -> int:
    """`synvlp why TARGET [OVERLAY …]`: how a result was made, from what is recorded, and what changed since."""
    import json

    from synvlp.versions import why as reasons

    made = _tool("why", why, target="a file below results/, a rule, a stage, or a stage of dvc.yaml")
    made.add_argument("--full", action="store_true", help="all settings, inputs and commands of every job")
    made.add_argument("--json", action="store_true", help="print all of it as JSON")
    asked = made.parse_args(words)
    try:
        found = reasons.explain(asked.target, _study(asked.overlays), asked.overlays)
    except (ConfigError, reasons.Unknown) as error:
        print(f"synvlp why: {error}", file=sys.stderr)
        return 1
    print(
        json.dumps(reasons.as_data(found), indent=2, ensure_ascii=False)
        if asked.json
        else reasons.text(found, asked.full)
    )
    return 0


# Verbs that are no jobs.
TOOLS = {
    "check": (check, "Check config.yaml and overlays on it, and say what the study holds."),
    "doctor": (doctor, "Look at what a study needs of this machine, and how to get what is missing."),
    "plan": (plan, "Estimate what a study costs: jobs, GPU-hours, CPU-hours, disk, the longest chain."),
    "dvc-yaml": (dvc_yaml, "Write dvc.yaml from the workflow's rules."),
    "record": (record, "Record in dvc.lock what is finished and up to date; every run does it at its end."),
    "why": (why, "Show how a result was made, and what changed since: settings, inputs, code."),
    "settings": (settings, "Print the reference of all settings."),
    "schema": (schema, "Print the JSON schema of the config."),
}


class ConfigError(Exception):
    """A config that cannot be read or used."""


def _call(tool: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    """Call a tool; that the reader of its output has gone (`| head`) is no error."""
    try:
        status = tool(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _tool(name: str, function: Callable, **first: str) -> argparse.ArgumentParser:
    """A tool's parser; `first` are the arguments before the overlays, with their meaning."""
    made = argparse.ArgumentParser(f"synvlp {name}", description=function.__doc__, allow_abbrev=False)
    for argument, meaning in first.items():
        made.add_argument(argument, metavar=argument.upper(), help=meaning)
    made.add_argument("overlays", nargs="*", metavar="OVERLAY", help="files such as studies/open.yaml")
    return made


def _count(word: str) -> tuple[str, int]:
    """NAME=N as (name, n). Raises ValueError, which argparse reports."""
    name, _, number = word.partition("=")
    if not name or int(number) < 1:
        raise ValueError(word)
    return name, int(number)


def _study(overlays: Sequence[str]) -> "Study":
    """The study of config.yaml with overlays on it. Raises ConfigError."""
    from synvlp import study

    config: dict = {}
    for name in ["config.yaml", *overlays]:
        config = study.overlaid(config, _config(name))
    try:
        return study.Study(config)
    except study.StudyError as error:
        raise ConfigError(str(error)) from error


def _config(name: str) -> dict:
    """What a config file holds. Raises ConfigError, naming the file."""
    import yaml

    try:
        content = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{name} is no YAML file in UTF-8: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: a mapping of keys is needed (study: …), not a {type(content).__name__}")
    return content


def _run(verb: str, module: ModuleType, options: dict[str, object]) -> int:
    from pydantic import ValidationError

    from synvlp import job

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    )
    try:
        parts = {
            title: model(**{key.partition(".")[2]: value for key, value in options.items() if key.startswith(title)})
            for title, model in (
                ("settings", module.Settings),
                ("inputs", module.Inputs),
                ("outputs", module.Outputs),
            )
        }
    except ValidationError as error:
        for problem in error.errors():
            print(f"synvlp {verb}: {_wrong_option(problem)}", file=sys.stderr)
        return 2
    for path in parts["outputs"].paths():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        with job.stoppable():
            if processes.told() and getattr(parts["settings"], "processes", 1) > 1:
                if processes.told()["rank"]:
                    job.log.setLevel(logging.WARNING)
                job.take_part(module, **parts)
            else:
                job.execute(verb, module, **parts)
    except job.JobError as error:
        job.log.error("%s stopped: %s", verb, error)
        return 1
    except job.Stopped as stopped:
        job.log.error("%s %s", verb, stopped)
        return processes.STOPPED
    except processes.Failed as failed:
        if str(failed):
            job.log.error("%s stopped: %s", verb, failed)
        return failed.status
    return 0


def _wrong_option(problem: Mapping[str, Any]) -> str:
    """What pydantic found wrong with an option, or with several together: the option, its value, what is allowed."""
    from synvlp.job import Misfit

    misfit = problem.get("ctx", {}).get("error")
    if isinstance(misfit, Misfit):
        name, value, wrong = misfit.setting, misfit.value, misfit.wrong
    else:
        name, value, wrong = "-".join(map(str, problem["loc"][:1])), problem["input"], problem["msg"]
    return f"--{name.replace('_', '-')}: {value!r}: {wrong}"


def limits(field: "FieldInfo") -> str:
    """What a setting may be: the names it can have, or the range of its value; "" where anything goes."""
    words = []
    choices = [item for item in _flat(field.annotation) if get_origin(item) is Literal]
    words += [" or ".join(str(choice) for choice in get_args(choices[0]))] if choices else []
    words += _range(field.metadata)
    items = [_range(item.metadata) for item in _flat(field.annotation) if isinstance(item, type(field))]
    return ", ".join([*words, *("each " + " and ".join(words) for words in items if words)])


def _range(metadata: Sequence[object]) -> list[str]:
    """The limits of a value, or of each item of a list."""
    signs = (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than"))
    return [
        f"{sign} {getattr(limit, name)}"
        for limit in metadata
        for name, sign in signs
        if getattr(limit, name, None) is not None
    ]


def _flat(annotation: object) -> list[object]:
    """An annotation and everything inside it, such as list[Literal["a", "b"]] | None."""
    return [annotation, *(inner for item in get_args(annotation) for inner in _flat(item))]


def _explain(field: "FieldInfo") -> str:
    words = [field.description or "", limits(field)]
    if _unit(field):
        words.append(f"in {_unit(field)}")
    if not field.is_required():
        default = field.get_default(call_default_factory=True)
        words.append("may be left out" if default is None else f"default {default}")
    return "; ".join(word for word in words if word).replace("%", "%%")


def _unit(field: "FieldInfo") -> str:
    return (field.json_schema_extra or {}).get("unit", "")


def _nearest(verb: str) -> str:
    import difflib

    near = difflib.get_close_matches(verb, [*VERBS, *TOOLS], n=1)
    return f" (did you mean {near[0]}?)" if near else ""
