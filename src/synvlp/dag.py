"""The jobs of a study, from Snakemake's own DAG: the one place that uses Snakemake's inner interface.

Snakemake is pinned, and a test compares what is read here with what `snakemake -n` prints. What Snakemake's plugin for
SLURM hands to the tasks of a job array is no interface either, and is read in `arrays`.
"""

import base64
import contextlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# As in profiles/default: files are compared by content at any size.
_ANY_SIZE = 10**12
# Of a file's name; longer ones are parted into folders.
_LONGEST_NAME = 254


class DagError(Exception):
    """The DAG cannot be built; the message is Snakemake's."""


@dataclass(frozen=True)
class Job:
    """One job of the DAG.

    `output` has a path for each output by its name in the rule; those of a list are NAME.0, NAME.1, …
    `reason` says why the job must run, in Snakemake's words; it is empty if the job's outputs are up to date or
    if the jobs were asked for without reasons.
    """

    rule: str
    wildcards: dict[str, str]
    input: list[str]
    output: dict[str, str]
    params: dict[str, str]
    resources: dict[str, Any]
    threads: int
    log: list[str]
    benchmark: str | None
    command: str
    reason: str

    def finished(self) -> bool:
        """Whether all outputs are there and up to date. Needs jobs with reasons."""
        return not self.reason and all(Path(path).is_file() for path in self.output.values())


def jobs(configfiles: Sequence[str] = (), targets: Iterable[str] = (), reasons: bool = False) -> list[Job]:
    """Every job of the study in the current folder that makes a file, inputs first; the order is always the same.

    Args:
        configfiles: overlays on config.yaml, as given to `snakemake --configfile`.
        targets: rules or files; none: the default target.
        reasons: find out which jobs must run, which reads the files' times and, where these are new, their content.

    Raises:
        DagError: Snakemake cannot build the DAG (a wrong config, a missing input).
    """
    from snakemake.exceptions import print_exception

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            return _jobs(configfiles, targets, reasons)
        except Exception as error:
            print_exception(error)
            raise DagError(said.getvalue().strip() or str(error)) from error


def recorded(path: str) -> dict[str, Any] | None:
    """What Snakemake noted when it made a file: rule, shellcmd, params, input, input_checksums, starttime, endtime.

    None if it has no note.
    """
    name = base64.urlsafe_b64encode(path.encode()).decode()
    parts = [name[start : start + _LONGEST_NAME] for start in range(0, len(name), _LONGEST_NAME)]
    note = Path(".snakemake", "metadata", *(f"@{part}" for part in parts[:-1]), parts[-1])
    return json.loads(note.read_text(encoding="utf-8")) if note.is_file() else None


def give_environment(rule: Any, conda: str | None, modules: Sequence[str]) -> None:
    """Let a rule's jobs run in a named conda environment and with a cluster's modules, where `--sdm` asks for them."""
    from snakemake.deployment.env_modules import EnvModules

    rule.conda_env = conda
    rule.env_modules = EnvModules(*modules) if modules else None


def overlays(workflow: Any) -> list[str]:
    """The files given to `snakemake --configfile`, as seen from the current folder."""
    return [os.path.relpath(path) for path in workflow.overwrite_configfiles or ()]


def _jobs(configfiles: Sequence[str], targets: Iterable[str], reasons: bool) -> list[Job]:
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

    with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[Path(name) for name in configfiles]),
            snakefile=Path("Snakefile"),
        )
        wanted = DAGSettings(targets=set(targets), forceall=not reasons, max_checksum_file_size=_ANY_SIZE)
        workflow.dag(wanted)
        inner = workflow._workflow
        inner._prepare_dag(forceall=not reasons, ignore_incomplete=True, lock_warn_only=True)
        inner._build_dag()
        levels = [
            sorted(level, key=lambda job: (job.rule.name, sorted(job.output))) for level in inner.dag.toposorted()
        ]
        return [_job(inner, job, reasons) for level in levels for job in level if job.output]


def _job(inner: Any, job: Any, reasons: bool) -> Job:
    incomplete = inner.async_run(inner.persistence.incomplete(job)) if reasons else ()
    reason = ""
    if incomplete:
        reason = f"Incomplete output files: {', '.join(sorted(map(str, incomplete)))}"
    elif reasons and inner.dag.needrun(job):
        reason = str(inner.dag.reason(job)) or "an input is made anew"
    return Job(
        rule=job.rule.name,
        wildcards=dict(job.wildcards_dict),
        input=sorted(map(str, job.input)),
        output=_by_name(job.output),
        params={name: str(value) for name, value in job.params.items()},
        resources=dict(job.resources.items()),
        threads=job.threads,
        log=[str(path) for path in job.log],
        benchmark=str(job.benchmark) if job.benchmark else None,
        command=job.shellcmd or "",
        reason=reason,
    )


def _by_name(outputs: Any) -> dict[str, str]:
    found = {}
    for name, value in outputs.items():
        if isinstance(value, str):
            found[name] = str(value)
        else:
            found.update({f"{name}.{number}": str(path) for number, path in enumerate(value)})
    return found
