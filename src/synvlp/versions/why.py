"""How an artifact was made: the chain of jobs behind it, from what is recorded, and what changed since.

Nothing is run. Snakemake's notes say how each job was run; its DAG and the code say how it would be run now.
"""

import ast
import difflib
import functools
import itertools
import os
import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from synvlp import dag, provenance
from synvlp.store import files
from synvlp.study import JOBS, Study, module_of
from synvlp.versions import record
from synvlp.versions.stages import SCATTERED

WIDTH = 120
# Inputs and causes that are listed before the rest is only counted; --full lists all.
LISTED = 12
# Digits of a checksum that people compare.
SHORT = 12
# Snakemake notes when an output was last changed; file systems round it.
_SECONDS = 2.0


class Unknown(Exception):
    """Nothing makes what was asked for; the message names what is near."""


@dataclass(frozen=True)
class Change:
    """One thing that differs between what was recorded and now.

    Attributes:
        kind: setting, input, code, command, output, or other.
        name: the setting, the path, the module.
        old, new: values, checksums or fingerprints; "" where there is none.
        detail: where a setting stands in the config; the functions that changed.
    """

    kind: str
    name: str
    old: str = ""
    new: str = ""
    detail: tuple[str, ...] = ()


@dataclass
class Step:
    """One job of the chain, as it was run last.

    Attributes:
        title: the rule and its wildcards, in words.
        stage: its stage of the study.
        made: whether there is a note of how it was run. All that follows is empty or None without.
        ended, seconds: when it ended, in seconds since 1970, and how long it took.
        taken: whether it computed nothing, but took the outputs of an equal job before it.
        inputs: path -> SHA-256.
        changes: what differs now, of its own.
        follows: jobs that would be run anew before it.
        absent: outputs that are not here and that nothing needs.
        current: whether the study, as it is now, has such a job.
    """

    title: str
    rule: str
    wildcards: dict[str, str]
    stage: str
    module: str
    outputs: list[str]
    made: bool = False
    ended: float | None = None
    seconds: float | None = None
    taken: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    code: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    command: str = ""
    changes: list[Change] = field(default_factory=list)
    follows: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    current: bool = True

    @property
    def anew(self) -> bool:
        """Whether it would be run anew."""
        return bool(self.changes or self.follows)


@dataclass(frozen=True)
class Answer:
    """What `explain` found.

    Attributes:
        target: what was asked for.
        targets: the jobs that make it.
        chain: all jobs before those, the last ones first.
        outside: files that the chain reads and does not make, with their SHA-256.
        checksums: SHA-256 of the target's files as they are now.
        problem: why the study cannot be planned here, so that nothing could be compared; "" if it can.
    """

    target: str
    targets: list[Step]
    chain: list[Step]
    outside: dict[str, str]
    checksums: dict[str, str]
    problem: str = ""


def explain(target: str, study: Study, overlays: Sequence[str] = ()) -> Answer:
    """The chain behind a file, a rule, a stage, or a job as dvc.yaml names it.

    Args:
        target: any of these names.
        study: the checked config.
        overlays: the files over config.yaml that the study was read from.

    Raises:
        Unknown: nothing makes the target.
    """
    problem, jobs = "", []
    try:
        jobs = dag.jobs(overlays, reasons=True)
        if not _chosen(target, jobs) and _study_of(_path(target)) == study.name:
            jobs = _with_target(target, overlays) or jobs
    except dag.DagError as error:
        problem = str(error)
    return answer(target, study, jobs, problem)


def answer(target: str, study: Study, jobs: Sequence[dag.Job], problem: str = "") -> Answer:
    """As `explain`, for jobs with reasons, inputs first."""
    chain = _Chain(study, jobs)
    path = _path(target)
    asked = [chain.of_job(job) for job in _chosen(target, jobs)]
    if not asked and _study_of(path) in ("", study.name) and (step := chain.of_file(path)):
        asked = [step]
    if not asked:
        raise Unknown(_unknown(target, study, jobs, problem))
    reached = chain.before(asked)
    shown = [path] if path in {name for step in asked for name in step.outputs} else asked[0].outputs
    return Answer(
        target=target,
        targets=asked,
        chain=[step for step in reached if not any(step is one for one in asked)],
        outside=chain.outside(reached),
        checksums={name: _checksum(name) for name in shown if len(asked) == 1 and Path(name).is_file()},
        problem=problem,
    )


def as_data(found: Answer) -> dict[str, Any]:
    """The answer as plain data, for JSON."""
    data = asdict(found)
    for steps, plain in ((found.targets, data["targets"]), (found.chain, data["chain"])):
        for step, made in zip(steps, plain, strict=True):
            made["anew"] = step.anew
    return data


def text(found: Answer, full: bool = False) -> str:
    """The answer for people, at most WIDTH columns wide where paths allow; `full` leaves nothing out."""
    lines = [*_summary(found, full), ""]
    if len(found.targets) == 1:
        lines += _details(found.targets[0], full, found.checksums)
    else:
        lines += _rows(found.targets, full)
    if found.chain:
        jobs = _count(len(found.chain), "job")
        lines += ["", f"The chain behind it, the last ones first: {jobs}, when each ended, how long it took, its code."]
        if any(step.taken for step in found.chain):
            lines.append("* took its outputs from an equal job before it")
    for stage in dict.fromkeys(step.stage for step in found.chain):
        steps = [step for step in found.chain if step.stage == stage]
        lines += ["", stage]
        lines += _rows(steps, full) if not full else [line for step in steps for line in _details(step, full)]
    if found.outside:
        lines += [
            "",
            "from outside, with SHA-256",
            *(f"  {short(sha):{SHORT}}  {path}" for path, sha in found.outside.items()),
        ]
    return "\n".join(lines)


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Name, old value and new value of all that differs; "" for what one of them has not."""
    names = [*old, *(name for name in new if name not in old)]
    return [(name, old.get(name, ""), new.get(name, "")) for name in names if old.get(name) != new.get(name)]


def functions(known: Mapping[str, Any], old: str, *modules: str) -> list[str] | None:
    """Which functions changed since the code of `modules` had the fingerprint `old`.

    Args:
        known: the content of results/STUDY/code.json.
        old: a fingerprint.
        modules: the job's module and those that it imports by their names, as they are now.

    Returns:
        "MODULE: FUNCTION" or "MODULE: FUNCTION (new)", sorted; None if nothing is known of the fingerprint.
    """
    then = known.get("fingerprints", {}).get(old)
    if then is None:
        return None
    now = provenance.closure(*modules)
    found = [f"{name}: {'imported now' if name in now else 'imported no more'}" for name in set(then) ^ set(now)]
    for name in sorted(set(then) & set(now)):
        before, after = known.get("modules", {}).get(then[name], {}), provenance.outline(name)
        for part, was, is_now in differences(before, after):
            found.append(f"{name}: {part}{'' if was and is_now else ' (new)' if is_now else ' (gone)'}")
    return sorted(found)


class _Chain:
    """The jobs of a study by their files, each compared once with what is recorded."""

    def __init__(self, study: Study, jobs: Sequence[dag.Job]) -> None:
        self.study = study
        self.jobs = {_title(job): job for job in jobs}
        self.makers = {path: job for job in jobs for path in (*job.log, job.benchmark, *job.output.values()) if path}
        path = record.code_file(study)
        self.known: dict[str, Any] = files.read_json(path) if path.is_file() else {}
        self.config = study.parts.model_dump(mode="json")
        self._steps: dict[str, Step] = {}

    def of_file(self, path: str) -> Step | None:
        """The step that makes a file; None for a file from outside."""
        if path in self.makers:
            return self.of_job(self.makers[path])
        note = dag.recorded(path)
        return self._remembered(path, note) if note else None

    def of_job(self, job: dag.Job) -> Step:
        """The step of a job of the DAG."""
        title = _title(job)
        if title not in self._steps:
            self._steps[title] = self._step(title, job)
        return self._steps[title]

    def before(self, asked: Iterable[Step]) -> list[Step]:
        """These steps and all on whose files they depend, the last ones first."""
        found = {id(step): step for step in asked}
        todo = list(found.values())
        while todo:
            step = todo.pop()
            job = self.jobs.get(step.title) if step.current else None
            for path in {*step.inputs, *(job.input if job else ())}:
                maker = self.of_file(path)
                if maker and id(maker) not in found:
                    found[id(maker)] = maker
                    todo.append(maker)
        places = {title: place for place, title in enumerate(self.jobs)}
        stages = list(dict.fromkeys(module.split(".")[1] for module, _ in JOBS.values()))
        return sorted(
            found.values(),
            key=lambda step: (
                -stages.index(step.stage),
                -(places[step.title] if step.current else len(places)),
                -(step.ended or 0),
                step.title,
            ),
        )

    def outside(self, steps: Iterable[Step]) -> dict[str, str]:
        """Files that no job makes, with the SHA-256 that was noted."""
        found = {path: sha for step in steps for path, sha in step.inputs.items() if self.of_file(path) is None}
        return dict(sorted(found.items()))

    def _step(self, title: str, job: dag.Job) -> Step:
        module = module_of(job.rule, job.wildcards)
        step = Step(title, job.rule, dict(job.wildcards), module.split(".")[1], module, list(job.output.values()))
        notes = [note for note in map(dag.recorded, step.outputs) if note]
        if notes:
            _fill(step, notes)
        missing = [path for path in step.outputs if not Path(path).is_file()]
        if not job.reason:
            step.absent = missing
            return step
        makers = [self.makers[path] for path in job.input if path in self.makers]
        step.follows = sorted({maker.title for maker in map(self.of_job, makers) if maker.anew})
        step.changes = [Change("output", path) for path in missing]
        if notes:
            step.changes += self._changes(step, job, notes[0])
        if not step.anew:
            step.changes = [Change("other", job.reason)]
        return step

    def _remembered(self, path: str, note: Mapping[str, Any]) -> Step | None:
        """The step of a job that the study has no more, or of a study that cannot be planned here."""
        if note["rule"] not in JOBS:
            return None
        log = next(iter(note.get("log") or ()), path)
        if log in self.makers:
            return self.of_job(self.makers[log])
        if log not in self._steps:
            words = Path(log.partition("/logs/")[2]).with_suffix("").parts
            module = JOBS[note["rule"]][0]
            title = " ".join(words) or note["rule"]
            self._steps[log] = Step(title, note["rule"], {}, module.split(".")[1], module, [], current=False)
            _fill(self._steps[log], [note])
        step = self._steps[log]
        step.outputs += [path] if path not in step.outputs else []
        return step

    def _changes(self, step: Step, job: dag.Job, note: Mapping[str, Any]) -> list[Change]:
        flags, code = job.params.get("settings", ""), job.params.get("code", "")
        found = [
            Change("setting", name, old, new, self._keys(job, name))
            for name, old, new in differences(step.settings, _settings(flags))
        ]
        if code != step.code:
            changed = functions(self.known, step.code, *self.study.modules(job.rule, job.wildcards))
            found.append(Change("code", step.module, step.code, code, ("unknown",) if changed is None else (*changed,)))
        inputs = self._inputs(step, job)
        found += inputs
        template = step.command.replace(_params(note)[0] or "\0", ""), job.command.replace(flags or "\0", "")
        if template[0] != template[1] and set(step.inputs) == set(job.input):
            found.append(Change("command", job.rule, step.command, job.command))
        return found

    def _inputs(self, step: Step, job: dag.Job) -> list[Change]:
        """Inputs that came, went, or have another content; only what is newer than the outputs is read."""
        found = [
            Change("input", path, step.inputs[path], "", ("gone",)) for path in step.inputs if path not in job.input
        ]
        found += [Change("input", path, "", _checksum(path), ("new",)) for path in job.input if path not in step.inputs]
        made = [Path(path).stat().st_mtime for path in step.outputs if Path(path).is_file()]
        oldest = min(made, default=step.ended or 0)
        for path in (path for path in job.input if path in step.inputs and Path(path).is_file()):
            if Path(path).stat().st_mtime > oldest and (now := _checksum(path)) != step.inputs[path]:
                found.append(Change("input", path, step.inputs[path], now, self._maker(path)))
        return found

    def _maker(self, path: str) -> tuple[str, ...]:
        """How an input came to have another content."""
        maker = self.of_file(path)
        if maker is None or maker.ended is None:
            return ()
        if Path(path).stat().st_mtime > maker.ended + _SECONDS:
            return ("changed by another hand",)
        return (f"made anew by {maker.title} on {_when(maker.ended)}",)

    def _keys(self, job: dag.Job, name: str) -> tuple[str, ...]:
        """Where the config holds a setting of a job."""
        for key in self.study.keys(job.rule, job.wildcards):
            part: Any = self.config
            for word in key.split("."):
                part = part.get(word) if isinstance(part, dict) else None
            if key.rpartition(".")[2] == name:
                return (key,)
            if isinstance(part, dict) and name in part:
                return (f"{key}.{name}",)
        return ()


def _chosen(target: str, jobs: Sequence[dag.Job]) -> list[dag.Job]:
    """The jobs that a target names: by a file or folder, as a rule, a stage, or as dvc.yaml names it."""
    path = _path(target)
    for fits in (
        lambda job: path in job.output.values() or path in job.log or path == job.benchmark,
        lambda job: target in (job.rule, "all"),
        lambda job: target in (_name(_title(job)), _name(_title(job, scattered=False)), _title(job)),
        lambda job: target == JOBS[job.rule][0].split(".")[1],
        lambda job: any(made.startswith(f"{path}/") for made in job.output.values()),
    ):
        if found := [job for job in jobs if fits(job)]:
            return found
    return []


def _with_target(target: str, overlays: Sequence[str]) -> list[dag.Job]:
    """The jobs for a file that the study's own target does not need; none if no rule makes it."""
    try:
        return dag.jobs(overlays, [_path(target)], reasons=True)
    except dag.DagError:
        return []


def _unknown(target: str, study: Study, jobs: Sequence[dag.Job], problem: str) -> str:
    other = _study_of(_path(target))
    if other not in ("", study.name):
        overlay = f"synvlp why {target} studies/{other}.yaml"
        return f"{target} is not of the study {study.name}; name the overlay of its own, as in: {overlay}"
    if problem:
        return f"nothing is recorded of {target}, and the study cannot be planned here: {problem}"
    readers = [_title(job) for job in jobs if _path(target) in job.input]
    if readers:
        return f"{target} is from outside: no job makes it; {_listed(readers, 3)} read{'s' * (len(readers) == 1)} it"
    known = dict.fromkeys(name for job in jobs for name in (job.rule, _name(_title(job)), *job.output.values()))
    near = difflib.get_close_matches(target, known, n=3)
    means = (
        f"; near are: {', '.join(near)}" if near else "; it is a file below results/, a rule, or a stage of dvc.yaml"
    )
    return f"no job makes {target}{means}"


def _fill(step: Step, notes: Sequence[Mapping[str, Any]]) -> None:
    """Put what Snakemake noted of a job into its step."""
    note = notes[0]
    flags, step.code = _params(note)
    step.made = True
    step.settings = _settings(flags)
    checksums = note.get("input_checksums") or {}
    step.inputs = {path: checksums.get(path, "").rpartition(":")[2] for path in sorted(note.get("input") or ())}
    step.command = note.get("shellcmd") or ""
    ends = [one["endtime"] for one in notes if one.get("endtime")]
    starts = [one["starttime"] for one in notes if one.get("starttime")]
    step.ended = max(ends, default=None)
    step.seconds = max(max(ends) - min(starts), 0) if ends and starts else None
    step.taken = any(
        "its outputs are taken again" in Path(log).read_text(encoding="utf-8", errors="replace")
        for log in note.get("log") or ()
        if Path(log).is_file()
    )


def _params(note: Mapping[str, Any]) -> tuple[str, str]:
    """The flags and the code's fingerprint; Snakemake notes a job's params without their names."""
    values = [ast.literal_eval(param) for param in note.get("params") or ()]
    codes = [value for value in values if re.fullmatch(r"[0-9a-f]{16}", value)]
    return next((value for value in values if value not in codes), ""), codes[0] if codes else ""


def _settings(flags: str) -> dict[str, str]:
    """Settings by name, from the flags of a job's command."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in shlex.split(flags):
        if word.startswith("--"):
            name = word[2:].replace("-", "_")
            found[name] = []
        elif name:
            found[name].append(word)
    return {name: shlex.join(words) for name, words in found.items()}


@functools.cache
def _checksum(path: str) -> str:
    return files.checksum(Path(path)) if Path(path).is_file() else ""


def _path(target: str) -> str:
    return os.path.relpath(target) if Path(target).is_absolute() else os.path.normpath(target)


def _study_of(path: str) -> str:
    """The study whose results a path is one of; "" if it is none of the results."""
    parts = Path(path).parts
    return parts[1] if parts[:1] == ("results",) and len(parts) > 1 else ""


def _title(job: dag.Job, scattered: bool = True) -> str:
    return " ".join([job.rule, *(value for key, value in job.wildcards.items() if scattered or key not in SCATTERED)])


def _name(title: str) -> str:
    """A job as dvc.yaml names it."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", title)


def _summary(found: Answer, full: bool) -> list[str]:
    """Whether the target is up to date, and if not, why: each cause once, with the jobs that it concerns."""
    steps = [*found.targets, *found.chain]
    if found.problem:
        reason = " ".join(found.problem.split())
        return [
            f"{found.target}: as it is recorded. The study cannot be planned here, so nothing is compared:",
            *_wrapped(reason, "  "),
        ]
    if not any(step.current for step in found.targets):
        return [f"{found.target}: as it is recorded. The study as it is now does not make it."]
    stale = [step for step in found.targets if step.anew]
    if not stale:
        made = all(step.made for step in found.targets)
        lines = [f"{found.target} is up to date{'' if made else ', but nothing is recorded of how it was made'}."]
        absent = [path for step in steps for path in step.absent]
        return lines + ([f"Not here: {_listed(absent, 3)}; nothing needs them now."] if absent else [])
    what = (
        found.target
        if len(found.targets) == 1
        else f"{found.target}: {len(stale)} of {_count(len(found.targets), 'job')}"
    )
    never = not any(step.made for step in stale)
    lines = [f"{what} {'has not been made yet:' if never else 'would be made anew, because of'}"]
    jobs: dict[str, list[str]] = {}
    for step in steps:
        for change in step.changes:
            jobs.setdefault(_phrase(change, full), []).append(step.title)
    causes: dict[tuple[str, ...], list[str]] = {}
    for phrase, titles in jobs.items():
        causes.setdefault(tuple(titles), []).append(phrase)
    shown = list(causes.items())[: None if full else LISTED]
    for titles, phrases in shown:
        lines += [line for phrase in phrases for line in _wrapped(phrase, "  ")]
        lines += _wrapped(f"of {_listed(titles, len(titles) if full else 3)}", "      ")
    if rest := sum(map(len, list(causes.values())[len(shown) :])):
        lines.append(f"  and {rest} more (--full lists them)")
    following = sum(bool(step.follows and not step.changes) for step in steps)
    return lines + ([f"  {_count(following, 'job')} of its chain would follow."] if following else [])


def _phrase(change: Change, full: bool) -> str:
    """A change in words; equal changes of several jobs in equal words."""
    match change.kind:
        case "setting":
            where = change.detail[0] if change.detail else change.name
            return f"setting {where}: {_values(change.old, change.new, full)}"
        case "input" if change.detail == ("new",):
            return f"input {change.name}, which is new"
        case "input" if change.detail == ("gone",):
            return f"input {change.name}, which is an input no more"
        case "input":
            told = f" ({', '.join(change.detail)})" if change.detail else ""
            return f"input {change.name}: SHA-256 {short(change.old) or 'not noted'} → {short(change.new)}{told}"
        case "code":
            return _code(change, full)
        case "command":
            return f"the command of the rule {change.name}" + (f": {change.old}\n→ {change.new}" if full else "")
        case "output":
            return f"output {change.name}, which is not here"
    return change.name


def _code(change: Change, full: bool) -> str:
    prints = f"fingerprint {change.old or 'not noted'} → {change.new}"
    if change.detail == ("unknown",):
        which = f" of {change.name} ({prints})" if full else ""
        return f"code{which}; only its fingerprint is known, so that no function can be named"
    if not change.detail:
        return f"code of {change.name}: {prints}; the same functions in another order"
    parts: dict[str, list[str]] = {}
    for item in change.detail:
        module, _, name = item.partition(": ")
        parts.setdefault(module, []).append(name)
    told = "; ".join(f"{module}: {_listed(names, 10**6 if full else 6)}" for module, names in parts.items())
    return f"code of {told}"


def _values(old: str, new: str, full: bool) -> str:
    """Two values of a setting; of long lists only what differs."""
    before, after = shlex.split(old), shlex.split(new)
    if full or max(len(before), len(after)) <= 6:
        return f"{old or 'none'} → {new or 'none'}"
    less = [word for word in dict.fromkeys(before) if before.count(word) > after.count(word)]
    more = [word for word in dict.fromkeys(after) if after.count(word) > before.count(word)]
    told = [f"{words} {_listed(some, 6)}" for words, some in (("less", less), ("more", more)) if some]
    return f"{len(before)} → {len(after)} values, {' and '.join(told) or 'in another order'}"


def _brief(value: str) -> str:
    """A setting's value; of a long list the first words, equal ones that follow each other once."""
    runs = [(word, len(list(same))) for word, same in itertools.groupby(shlex.split(value))]
    if sum(count for _, count in runs) <= LISTED:
        return value
    words = [word if count == 1 else f"{word} ×{count}" for word, count in runs]
    return " ".join(words[:LISTED]) + (f" … ({len(value.split())} values)" if len(words) > LISTED else "")


def _details(step: Step, full: bool, checksums: Mapping[str, str] | None = None) -> list[str]:
    """All about one job."""
    if not step.made:
        return [f"{step.title}{_state(step)}", "  nothing is recorded of how it was made"]
    taken = ", taken from an equal job before it" if step.taken else ""
    took = f", in {_duration(step.seconds)}{taken}" if step.seconds is not None else ""
    settings = [f"{name} {value if full else _brief(value)}".strip() for name, value in step.settings.items()]
    shown = list(step.inputs.items()) if full else list(step.inputs.items())[:LISTED]
    inputs = [f"{short(sha) or 'not noted':{SHORT}}  {path}" for path, sha in shown]
    if len(shown) < len(step.inputs):
        inputs.append(f"and {len(step.inputs) - len(shown)} more (--full lists them)")
    made = checksums or dict.fromkeys(step.outputs, "")
    return [
        f"{step.title}{_state(step)}",
        f"  made      {_when(step.ended)}{took}",
        *_field("files", [f"{short(sha)}  {path}".strip() for path, sha in made.items()]),
        f"  code      {step.code or 'not noted'}  {step.module}",
        *_field("settings", _joined(settings) or ["none"]),
        *_field("inputs", inputs or ["none"]),
        *(_field("command", [step.command]) if full else []),
    ]


def _rows(steps: Sequence[Step], full: bool) -> list[str]:
    """One line for each job; the parts of a scattered job in one, unless `full`."""
    groups: dict[tuple, list[Step]] = {}
    for step in steps:
        parts = [value for key, value in step.wildcards.items() if key not in SCATTERED or full]
        title = " ".join([step.rule, *parts]) if step.wildcards else step.title
        groups.setdefault((title, step.code, _state(step)), []).append(step)
    names = [f"{title}{f' ({len(some)} jobs)' if len(some) > 1 else ''}" for (title, _, _), some in groups.items()]
    width = max(map(len, names))
    lines = []
    for name, ((_, code, state), some) in zip(names, groups.items(), strict=True):
        ended = max((step.ended for step in some if step.ended), default=None)
        seconds = [step.seconds for step in some if step.seconds is not None]
        took = _duration(sum(seconds)) if seconds else ""
        took = f"{took}*" if any(step.taken for step in some) else took
        lines.append(f"  {name:{width}}  {_when(ended):19}  {took:>12}  {code:16}{state}".rstrip())
    return lines


def _state(step: Step) -> str:
    if step.changes:
        return "  changed"
    return "  follows" if step.follows else "  not here" if step.absent else ""


def _field(name: str, lines: Sequence[str]) -> list[str]:
    return [f"  {name if not place else '':8}  {line}" for place, line in enumerate(lines)]


def _joined(words: Sequence[str]) -> list[str]:
    """Words in lines of the width that is left beside a field's name."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 2 <= WIDTH - 12:
            lines[-1] += f", {word}"
        else:
            lines.append(word)
    return [line for long in lines for line in _wrapped(long, "", WIDTH - 12)]


def _wrapped(line: str, indent: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _listed(names: Sequence[str], most: int) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _when(ended: float | None) -> str:
    return f"{datetime.fromtimestamp(ended):%Y-%m-%d %H:%M:%S}" if ended else "not noted"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def short(checksum: str) -> str:
    """As many digits of a checksum as people compare."""
    return checksum[:SHORT]
