"""dvc.yaml from Snakemake's DAG: one stage per job, so that DVC knows the same graph from one declaration.

A stage's command runs Snakemake on the job's outputs: Snakemake decides and executes, DVC records and stores.
"""

import importlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from synvlp import provenance
from synvlp.dag import Job
from synvlp.study import Study, module_of

CONFIG = "config.yaml"
# Wildcards over which a job is scattered: all parts are one stage.
SCATTERED = {"shard"}
# Outputs that DVC shows as metrics and keeps in git, as plots of numbers, and as plots that are pictures.
METRICS = {"metrics", "measures", "audit", "summary"}
CURVES = {"curve"}
PICTURES = {"curve_picture", "png"}
HEADER = """\
# Written by `synvlp dvc-yaml{words}` from the rules of the workflow. Do not edit: change the rules or
# the config and write it anew. docs/versions.md says how Snakemake and DVC share the work.
"""


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml and the jobs that it stands for."""

    name: str
    jobs: list[Job]
    entry: dict[str, Any]

    def finished(self) -> bool:
        """Whether all its outputs are there and up to date. Needs jobs with reasons."""
        return all(job.finished() for job in self.jobs)


def place(study: Study) -> Path:
    """Where a study's stages are: dvc.yaml for the default study, a folder of studies/ for any other."""
    return Path("dvc.yaml") if study.name == "demo" else Path("studies", study.name, "dvc.yaml")


def stages(jobs: Iterable[Job], study: Study, overlays: Sequence[str]) -> list[Stage]:
    """The stages of a study's jobs, in their order.

    Args:
        jobs: all jobs of the study.
        study: the checked config.
        overlays: the files over config.yaml that the study was read from.

    Raises:
        ValueError: two different jobs would have one name.
    """
    scattered: dict[str, list[Job]] = {}
    for job in jobs:
        scattered.setdefault(_name(job), []).append(job)
    configs = {name: yaml.safe_load(Path(name).read_text(encoding="utf-8")) or {} for name in (CONFIG, *overlays)}
    return [Stage(name, parts, _entry(parts, study, configs)) for name, parts in scattered.items()]


def text(made: Iterable[Stage], overlays: Sequence[str]) -> str:
    """The content of dvc.yaml."""
    content = {"stages": {stage.name: stage.entry for stage in made}}
    words = "".join(f" {shlex.quote(name)}" for name in overlays)
    return HEADER.format(words=words) + yaml.safe_dump(content, sort_keys=False, width=120)


def is_private(job: Job, output: str) -> bool:
    """Whether an output of a job, by its name in the rule, holds identifiers."""
    field = _module(job).Outputs.model_fields[output]
    return bool((field.json_schema_extra or {}).get("private"))


def _name(job: Job) -> str:
    words = [job.rule, *(value for key, value in job.wildcards.items() if key not in SCATTERED)]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(words))


def _entry(jobs: list[Job], study: Study, configs: Mapping[str, Mapping]) -> dict[str, Any]:
    if len({job.rule for job in jobs}) > 1:
        raise ValueError(f"the jobs {' and '.join(sorted({job.rule for job in jobs}))} would be one stage")
    first = jobs[0]
    folder = place(study).parent
    outputs = [(name, path) for job in jobs for name, path in job.output.items()]
    overlays = [name for name in configs if name != CONFIG]
    words = ["snakemake", *(path for _, path in outputs), "--no-hooks", "--cores", "all"]
    words += ["--configfile", *overlays] if overlays else []
    inputs = {path for job in jobs for path in job.input}
    entry: dict[str, Any] = {"cmd": shlex.join(words)}
    if folder != Path():
        entry["wdir"] = "/".join([".."] * len(folder.parts))
    entry["deps"] = [*sorted(inputs), *_code(*study.modules(first.rule, first.wildcards))]
    entry["params"] = _params(study.keys(first.rule, first.wildcards), configs)
    # Kept in place: Snakemake, not DVC, removes the outputs of a job that it runs.
    kept: dict[str, list] = {"outs": [], "metrics": [], "plots": []}
    for name, path in outputs:
        kind, options = _output(first, name.partition(".")[0], path)
        kept[kind].append({path: {**options, "persist": True}})
    return {key: value for key, value in {**entry, **kept}.items() if value}


def _output(job: Job, name: str, path: str) -> tuple[str, dict[str, Any]]:
    if name in METRICS and path.endswith(".json"):
        return "metrics", {"cache": False}
    if name in CURVES:
        return "plots", {"x": "step", "y": "value", "template": "curve"}
    if name in PICTURES:
        return "plots", {}
    return "outs", {"push": False} if is_private(job, name) else {}


def _params(keys: Iterable[str], configs: Mapping[str, Mapping]) -> list[dict[str, list[str]]]:
    """Those of the keys that each file has; of a key that it lacks, the section that would hold it."""
    found = {name: sorted({_there(config, key) for key in keys} - {""}) for name, config in configs.items()}
    return [{name: there} for name, there in found.items() if there]


def _there(config: Any, key: str) -> str:
    found = []
    for part in key.split("."):
        if not isinstance(config, Mapping) or part not in config:
            break
        config = config[part]
        found.append(part)
    return ".".join(found)


def _module_name(job: Job) -> str:
    return module_of(job.rule, job.wildcards)


def _module(job: Job) -> Any:
    return importlib.import_module(_module_name(job))


@cache
def _code(*modules: str) -> list[str]:
    """The files that hold a job's code, as seen from the current folder; empty ones say nothing."""
    here = Path.cwd()
    found = [path for path in provenance.sources(*modules) if path.is_relative_to(here) and path.stat().st_size]
    return [path.relative_to(here).as_posix() for path in found]
