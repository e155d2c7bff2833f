"""What a study will cost, before it is run: jobs, GPU-hours, CPU-hours, disk and the longest chain, with their basis.

Seconds come from the study's own benchmark files, scaled by what changed since, else from rates.json. Either way
these are estimates, for deciding whether and where to run; not for billing.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import yaml

from synvlp import costs, dag
from synvlp.study import JOBS, Study

STAGES = (*dict.fromkeys(module.split(".")[1] for module, _ in JOBS.values()), "other")
OWN, RULE, DEFAULT, UNKNOWN = "own benchmark", "own benchmarks of the rule", "default rate", "no rate known"


@dataclass(frozen=True)
class Measured:
    """A benchmark file with the settings that the job's log holds, and where it computed ("cpu" or a GPU's name)."""

    seconds: float
    settings: costs.Settings
    device: str


@dataclass(frozen=True)
class Cost:
    """One job's estimate.

    Attributes:
        seconds: how long it runs.
        gpus, cores: what it holds.
        written, state: bytes that it leaves in the results, and of the state that it saves while it runs.
        basis: OWN, RULE, DEFAULT or UNKNOWN.
        source: where a default is from; "" for a measurement of the study's own.
    """

    rule: str
    stage: str
    seconds: float
    gpus: int
    cores: int
    written: float
    state: float
    basis: str
    source: str


@dataclass(frozen=True)
class Stage:
    """A stage's sums: `chain_hours` are those of its jobs that lie on the study's longest chain."""

    jobs: int
    gpu_hours: float
    cpu_hours: float
    disk_gb: float
    chain_hours: float


@dataclass(frozen=True)
class Plan:
    """A study's costs on one kind of GPU ("cpu": none)."""

    study: str
    gpu: str
    stages: dict[str, Stage]
    total: Stage
    state_gb: float
    chain: list[str]
    bases: dict[str, str]
    corpora: dict[str, str]


def jobs(study: Study) -> list[dag.Job]:
    """All jobs of the study, whether they ran or not and whether its data are here or not.

    Snakemake wants every file that the study reads from outside. Planning needs no content, so that the DAG is built
    in a folder of its own, with empty files in their place. Raises dag.DagError.
    """
    with tempfile.TemporaryDirectory(prefix="synvlp-plan-") as name:
        folder = Path(name)
        copy("Snakefile", folder)
        copytree("rules", folder / "rules")
        config = _inside(study)
        (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        for path in map(folder.joinpath, Study(config).files_from_outside()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        with contextlib.chdir(folder):
            return dag.jobs()


def make(study: Study, found: Sequence[Any], gpu: str = "cpu", given: Mapping[str, int] | None = None) -> Plan:
    """The costs of the jobs `found` of a study.

    Args:
        study: the study.
        found: its jobs, inputs first, as `jobs` gives them.
        gpu: a kind of costs.RATES["peaks"], or "cpu": GPU jobs run on the CPU.
        given: studies of corpora by name, over what is counted or assumed.
    """
    sizes = costs.Sizes(study, given)
    settings = [costs.Settings(job.params.get("settings", "")) for job in found]
    measured = [_measured(job) for job in found]
    rates = _rates(found, measured, gpu, sizes)
    estimates = [
        _cost(job, chosen, own, rates, gpu, sizes) for job, chosen, own in zip(found, settings, measured, strict=True)
    ]
    chain = longest_chain(found, [cost.seconds for cost in estimates])
    on_chain = {id(estimates[index]) for index in chain}
    stages = {
        stage: _sum([cost for cost in estimates if cost.stage == stage], on_chain)
        for stage in STAGES
        if any(cost.stage == stage for cost in estimates)
    }
    return Plan(
        study=study.name,
        gpu=gpu,
        stages=stages,
        total=_sum(estimates, on_chain),
        state_gb=max((cost.state for cost in estimates), default=0) / 1e9,
        chain=list(dict.fromkeys(found[index].rule for index in chain)),
        bases=_bases(estimates),
        corpora={name: _told(sizes.corpus(name)) for name in study.corpora()},
    )


def longest_chain(found: Sequence[Any], seconds: Sequence[float]) -> list[int]:
    """The places, in `found`, of the jobs on the chain that takes longest, the first one first."""
    maker = {path: index for index, job in enumerate(found) for path in job.output.values()}
    ends: list[float] = []
    before: list[int | None] = []
    for job, own in zip(found, seconds, strict=True):
        makers = {maker[path] for path in job.input if path in maker}
        last = max(makers, key=lambda index: (ends[index], -index), default=None)
        before.append(last)
        ends.append(own + (ends[last] if last is not None else 0))
    chain: list[int] = []
    place = max(range(len(ends)), key=ends.__getitem__, default=None)
    while place is not None:
        chain.insert(0, place)
        place = before[place]
    return chain


def text(plan: Plan) -> str:
    """The plan for people."""
    where = "without a GPU" if plan.gpu == "cpu" else f"on GPUs of the kind {plan.gpu}"
    lines = [f"study {plan.study}, {where}: estimates", ""]
    lines += [f"{'stage':12}{'jobs':>7}{'GPU-hours':>11}{'CPU-hours':>11}{'disk GB':>9}{'on longest chain, hours':>25}"]
    for name, stage in [*plan.stages.items(), ("all", plan.total)]:
        lines.append(
            f"{name:12}{stage.jobs:>7}{_short(stage.gpu_hours):>11}{_short(stage.cpu_hours):>11}"
            f"{_short(stage.disk_gb):>9}{_short(stage.chain_hours):>25}"
        )
    lines += [
        "",
        f"With machines without end it would take {_short(plan.total.chain_hours)} hours: {' → '.join(plan.chain)}.",
        "CPU-hours count the cores that jobs hold, those of GPU jobs too. What it takes to start a job comes on top.",
        "Nothing is deleted: the peak is the sum, and while a training job runs its saved state, at most "
        f"{_short(plan.state_gb)} GB.",
        "Versions kept as copies take the space again.",
        "",
        "Studies:",
        *(f"  {name:22}{told}" for name, told in plan.corpora.items()),
        "Seconds from:",
        *(f"  {rule:26}{basis}" for rule, basis in plan.bases.items()),
    ]
    return "\n".join(lines)


def as_data(plan: Plan) -> dict:
    """The plan as plain data, for JSON."""
    return asdict(plan)


def _inside(study: Study) -> dict:
    """The study's config with every file or folder from outside renamed to one below outside/."""
    outside = study.files_from_outside()

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        if isinstance(value, str) and any(path == value or path.startswith(f"{value}/") for path in outside):
            return f"outside/{re.sub(r'[^A-Za-z0-9.]+', '-', value)}"
        return value

    return renamed(study.parts.model_dump(mode="json"))


def _cost(
    job: Any, settings: costs.Settings, own: Measured | None, rates: Mapping, gpu: str, sizes: costs.Sizes
) -> Cost:
    rate = _default(job, settings)
    amount = costs.work(job, settings, sizes)
    gpus = int(job.resources.get("gpu", 0)) if gpu != "cpu" else 0
    source = ""
    if own and _fits(own, gpu, job):
        seconds, basis = _scaled(own, costs.work(job, own.settings, sizes), amount, rate["start"]), OWN
    elif job.rule in rates:
        seconds, basis = rate["start"] + amount / rates[job.rule], RULE
    else:
        speed, source = _speed(rate, gpu, gpus)
        seconds, basis = rate["start"] + amount / speed, DEFAULT if job.rule in costs.RATES["rules"] else UNKNOWN
    return Cost(
        rule=job.rule,
        stage=JOBS[job.rule][0].split(".")[1] if job.rule in JOBS else "other",
        seconds=seconds,
        gpus=gpus,
        cores=max(job.threads, int(settings.number("cpu_threads", 1))),
        written=costs.written(job, settings, sizes),
        state=costs.state(job, settings, sizes),
        basis=basis,
        source=source,
    )


def _speed(rate: Mapping, gpu: str, gpus: int) -> tuple[float, str]:
    """Units a second by default, and where that is from."""
    if not gpus or "share" not in rate:
        return rate["rate"], rate["source"]
    speed = rate["share"] * costs.RATES["peaks"][gpu] * gpus
    return speed, f"{rate['share']:.0%} of the {gpu}'s peak, as {rate['share_source']}"


def _default(job: Any, settings: costs.Settings) -> dict:
    known = costs.RATES["rules"]
    special = f"{job.rule} {' '.join(settings.get('probe', []))}"
    return known.get(special) or known.get(job.rule) or known[""]


def _measured(job: Any, root: Path = Path()) -> Measured | None:
    """A job's last run, if its benchmark file and log tell what it did from its start to its end."""
    if not (job.benchmark and job.log):
        return None
    path, log = root / job.benchmark, root / job.log[0]
    if not (path.is_file() and log.is_file()):
        return None
    lines = path.read_text(encoding="utf-8").split("\n")
    said = log.read_text(encoding="utf-8", errors="replace")
    # A job that went on from a saved state, or took its last outputs again, says nothing about its length.
    flags = re.match(r"\S+ \S+ \S+ ?(.*)", said)
    if len(lines) < 2 or not flags or re.search(r" (going on from|.* its outputs are taken again)", said):
        return None
    device = re.search(r" computing on (.+)", said)
    name = device[1] if device else ""
    return Measured(
        float(lines[1].split("\t")[0]), costs.Settings(flags[1]), "cpu" if "CPU thread" in name else _plain(name)
    )


def _fits(measured: Measured, gpu: str, job: Any) -> bool:
    """Whether a measurement was made on the kind of machine that is planned for."""
    if not job.resources.get("gpu") or not measured.device:
        return True
    return measured.device == "cpu" if gpu == "cpu" else _plain(gpu) in measured.device


def _scaled(own: Measured, then: float, now: float, start: float) -> float:
    """Seconds of a job whose work went from `then` to `now`; its start does not grow."""
    if then <= 0 or own.seconds <= start:
        return own.seconds
    return start + (own.seconds - start) * now / then


def _rates(found: Sequence[Any], measured: Sequence[Measured | None], gpu: str, sizes: costs.Sizes) -> dict[str, float]:
    """Rule -> work a second, over all its jobs that were measured on this kind of machine."""
    sums: dict[str, list[float]] = {}
    for job, own in zip(found, measured, strict=True):
        if own and _fits(own, gpu, job):
            spent = own.seconds - _default(job, own.settings)["start"]
            if spent > 0:
                amount = costs.work(job, own.settings, sizes)
                done = sums.setdefault(job.rule, [0.0, 0.0])
                sums[job.rule] = [done[0] + amount, done[1] + spent]
    return {rule: amount / spent for rule, (amount, spent) in sums.items() if amount > 0}


def _sum(chosen: Iterable[Cost], on_chain: set[int]) -> Stage:
    chosen = list(chosen)
    return Stage(
        jobs=len(chosen),
        gpu_hours=sum(cost.seconds * cost.gpus for cost in chosen) / 3600,
        cpu_hours=sum(cost.seconds * cost.cores for cost in chosen) / 3600,
        disk_gb=sum(cost.written for cost in chosen) / 1e9,
        chain_hours=sum(cost.seconds for cost in chosen if id(cost) in on_chain) / 3600,
    )


def _bases(estimates: Sequence[Cost]) -> dict[str, str]:
    """Rule -> what its seconds are based on; several words where its jobs differ."""
    told = {}
    for rule in dict.fromkeys(cost.rule for cost in estimates):
        chosen = [cost for cost in estimates if cost.rule == rule]
        counts = {basis: sum(cost.basis == basis for cost in chosen) for basis in (OWN, RULE, DEFAULT, UNKNOWN)}
        words = [f"{basis} ({count} of {len(chosen)})" for basis, count in counts.items() if count]
        words += sorted({cost.source for cost in chosen if cost.source})
        told[rule] = "; ".join(words)
    return told


def _told(count: costs.Count) -> str:
    return f"{count.studies:,.0f} ({count.source})"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _short(value: float) -> str:
    """Two digits that count: estimates have no more."""
    if value <= 0:
        return "0"
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}" if value >= 0.01 else "<0.01"
