"""The frame of one job: its settings, its files, its log, its progress and what it saves against a kill.

A job is a module with four names: `Settings`, `Inputs`, `Outputs` and `run(settings, inputs, outputs)`.
The command line, the check of the config and the reference page are made from the first three.
"""

import contextlib
import csv
import functools
import logging
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticUndefined

from synvlp import processes, provenance, reuse
from synvlp.store import files, tables

log = logging.getLogger("synvlp")

Split = Literal["train", "val", "test"]  # all studies of a patient are in one

_READ_IN_FOLDERS = {".json", ".txt", ".safetensors"}


class JobError(Exception):
    """Something the user can mend. The message says what is wrong, where, and what would be right."""


class Misfit(JobError, ValueError):
    """A setting that does not fit another one: its name, its value, and what is wrong with it."""

    def __init__(self, setting: str, value: Any, wrong: str) -> None:
        self.setting, self.value, self.wrong = setting, value, wrong
        super().__init__(f"{setting} = {value} {wrong}")


class Stopped(BaseException):
    """A signal asked the job to end. What a long job had done is saved, and its next start goes on from there."""


class Settings(BaseModel):
    """Base of a job's settings. Subclasses are flat: text, numbers, flags and lists of these."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    def check(self) -> None:
        """Whether the settings fit each other; it is asked wherever they are made, so that no job has to.

        Subclasses raise Misfit. They call the `check` of a base by the base's name (`job.Distributed.check(self)`):
        the check of the config lends it to classes that hold the same settings and have other bases.
        """

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.check()
        return self

    def flags(self) -> str:
        """All settings as the flags of the job's command, in the order in which they are defined.

        Settings that are None are left out. Equal settings give equal text.
        """
        words = []
        for name, value in self.model_dump(mode="json").items():
            if value is None:
                continue
            words.append(f"--{name.replace('_', '-')}")
            words.extend(_as_text(item) for item in (value if isinstance(value, list) else [value]))
        return shlex.join(words)


class Compute(Settings):
    """Settings of every job that runs a network."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to compute; auto: a GPU if there is one")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bfloat16 autocast on a GPU, float32 on the CPU"
    )
    cpu_threads: int = Field(
        1,
        ge=1,
        description="CPU threads of one job; results are equal only for equal numbers",
        json_schema_extra={"unit": "threads"},
    )


class Distributed(Compute):
    """Settings of every job that trains a network on one or several processes. Subclasses have a `batch`."""

    processes: int = Field(
        1,
        ge=1,
        description="processes that share each batch, one per GPU; equal for any number but for rounding",
        json_schema_extra={"unit": "processes"},
    )

    def check(self) -> None:
        """Whether the processes can share the batch evenly."""
        check_multiple(self, "batch", self.processes, f"processes = {self.processes}, each of which takes a part")


class Files(BaseModel):
    """Base of a job's inputs and outputs: paths, lists of paths, or None for an optional path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def paths(self) -> list[Path]:
        """All paths, in the order in which they are defined."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [path for value in values if value for path in (value if isinstance(value, list) else [value])]


def setting(default: Any, meaning: str, *, unit: str = "", **limits: Any) -> Any:
    """A setting with its default, one line of meaning, its unit and its limits (ge, gt, le, lt, …)."""
    extra = {"unit": unit} if unit else None
    return Field(default, description=meaning, json_schema_extra=extra, **limits)


def required(meaning: str, *, unit: str = "", **limits: Any) -> Any:
    """A setting that has no default."""
    return setting(PydanticUndefined, meaning, unit=unit, **limits)


def check_multiple(settings: Settings, name: str, of: int, what: str) -> None:
    """Raise Misfit unless a setting, or each number of one that is a list, is a multiple of `of`, which is `what`."""
    value = getattr(settings, name)
    for number in value if isinstance(value, list) else [value]:
        if number % of:
            which = f"has {number}, which is" if isinstance(value, list) else "is"
            raise Misfit(name, value, f"{which} not a multiple of {what}")


def check_different(settings: Settings, *names: str) -> None:
    """Raise Misfit if a list holds a value twice."""
    for name in names:
        values = getattr(settings, name)
        twice = [value for place, value in enumerate(values) if value in values[:place]]
        if twice:
            raise Misfit(name, values, f"has {twice[0]} more than once")


def file(meaning: str) -> Any:
    """A path, or a list of paths, that a job reads or writes."""
    return Field(description=meaning)


def private_file(meaning: str) -> Any:
    """A path of a file that holds identifiers: its versions are kept, but never pushed to a remote."""
    return Field(description=meaning, json_schema_extra={"private": True})


def optional_file(meaning: str) -> Any:
    """A path that may be left out."""
    return Field(None, description=meaning)


def execute(verb: str, module: Any, settings: Settings, inputs: Files, outputs: Files) -> None:
    """Run one job with its log: what it reads, its settings, how long it took, what it wrote.

    Raises JobError for a missing input, an unwritable output or a full disk.
    """
    start = time.monotonic()
    log.info("%s %s", verb, settings.flags())
    for path in inputs.paths():
        if not path.exists():
            raise JobError(f"input {path} does not exist")
    # A job that reads files which no one declares is always run: nothing tells whether they changed.
    declared = not getattr(module, "READS_UNDECLARED_FILES", False)
    with _said_plainly():
        last = reuse.LastRun(outputs.paths(), digest_of(module.__name__, settings, inputs)) if declared else None
        if last and last.restore():
            log.info("settings, inputs and code are those of the last run; its outputs are taken again")
        else:
            _compute(verb, module, settings, inputs, outputs)
    for path in outputs.paths():
        if not path.is_file():
            raise RuntimeError(f"{verb} ended without writing {path}")
        log.info("wrote %s, %s", path, size_of(path))
    if last:
        last.keep()
    log.info("done in %.1f s", time.monotonic() - start)


def take_part(module: Any, settings: Settings, inputs: Files, outputs: Files) -> None:
    """Be one of a job's several processes, which `execute` or torchrun has started."""
    with _said_plainly():
        module.run(settings, inputs, outputs)
    processes.here.leave()


@contextlib.contextmanager
def _said_plainly() -> Iterator[None]:
    """Turn errors of files and tables into JobError."""
    try:
        yield
    except tables.TableError as error:
        raise JobError(str(error)) from error
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        raise JobError(f"cannot read or write {error.filename or 'a file'}: {error.strerror}") from error


def command(verb: str, settings: Settings, inputs: Files, outputs: Files) -> list[str]:
    """The words of the command that runs a job, from the verb on."""
    words = [verb]
    for name, value in (*inputs, *outputs):
        if value:
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return words + shlex.split(settings.flags())


def _compute(verb: str, module: Any, settings: Settings, inputs: Files, outputs: Files) -> None:
    """Run the job in this process, or in as many as its settings say."""
    count = getattr(settings, "processes", 1)
    if count > 1 and not processes.told():
        processes.start([sys.executable, "-m", "synvlp", *command(verb, settings, inputs, outputs)], count)
    else:
        module.run(settings, inputs, outputs)


@dataclass
class _Asked:
    """What a signal has asked of the job, and whether its loop looks at it between steps."""

    signal: str = ""
    looks: bool = False


_asked = _Asked()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 end a job in order, raising Stopped.

    A loop that has called `Scratch.checkpoint` ends at its next call, with its state saved; all else ends at once,
    and leaves no part of a file behind. A second signal changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _on_signal) for number in processes.SIGNALS}
    try:
        yield
    finally:
        _asked.signal, _asked.looks = "", False
        for number, handler in before.items():
            signal.signal(number, handler)


def _on_signal(number: int, frame: object) -> None:
    if _asked.signal:
        return
    _asked.signal = signal.Signals(number).name
    if not _asked.looks:
        raise Stopped(f"stopped by {_asked.signal}")


def digest_of(module: str, settings: Settings, inputs: Files) -> str:
    """Stands for all that a job's result depends on: its settings, its code, the content of its inputs and of folders.

    A folder that a setting names (`…_folder`) is read as its JSON, text and safetensors files. A job that imports
    modules by their names says which, with a function `imports_by_name(inputs)` in its module.
    """
    folders = [Path(value) for name, value in settings if name.endswith("_folder") and value]
    inside = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in _READ_IN_FOLDERS]
    read = [_checksum(path, path.stat().st_mtime_ns) for path in (*inputs.paths(), *inside)]
    named = getattr(sys.modules.get(module), "imports_by_name", lambda inputs: ())(inputs)
    return provenance.digest([module, settings.flags(), provenance.fingerprint(module, *named), *read])


@functools.cache
def _checksum(path: Path, modified: int) -> str:
    """Once per job, though both the saved state and the last run's outputs are found by it."""
    return files.checksum(path)


def size_of(path: Path) -> str:
    """A file's size for people."""
    size = float(path.stat().st_size)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def progress(items: Iterable, what: str, total: int | None = None, start: int = 0) -> Iterator:
    """Yield `items`: with a progress bar on a terminal, with a plain line every 10 s in a log.

    Args:
        items: what to go through.
        what: the unit, in the plural ("reports").
        total: how many there are, if `items` has no length.
        start: how many were done before (a resumed job), counted in `total`.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items) + start
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, initial=start, unit=f" {what}", leave=False)
        return
    began = said = time.monotonic()
    done = start
    for done, item in enumerate(items, start + 1):
        yield item
        now = time.monotonic()
        if now - said >= 10:
            said = now
            rate = (done - start) / (now - began)
            log.info("%d of %s %s, %.3g a second", done, total or "?", what, rate)
    if done > start:
        seconds = max(time.monotonic() - began, 1e-9)
        log.info("%d %s in %.1f s, %.3g a second", done - start, what, seconds, (done - start) / seconds)


def check_rejected(rejected: int, total: int, limit: float, where: Path) -> None:
    """Stop if more than the share `limit` of `total` inputs was rejected.

    Snakemake removes the outputs of a job that stops. The table of what was rejected, `where`, then takes the name
    NAME.stopped.csv, so that the user can read all of it; a job that goes on removes what an earlier one left there.

    Raises JobError with the most frequent reasons in that table, and its new name.
    """
    kept = where.with_suffix(".stopped.csv")
    if rejected <= limit * total:
        kept.unlink(missing_ok=True)
        return
    with where.open(encoding="utf-8", newline="") as file:
        reasons = Counter(row["reason"].partition(":")[0] for row in csv.DictReader(file))
    where.replace(kept)
    raise JobError(
        f"{rejected} of {total} inputs were rejected, more than max_rejected = {limit:g} allows; most frequent: "
        f"{', '.join(f'{reason} ({count})' for reason, count in reasons.most_common(5))}; all are listed in {kept}"
    )


class Scratch:
    """The saved state of a long job, so that after a kill it goes on and ends in the same result.

    The folder's name is a digest of the job's settings, its inputs' content and its code, so that a
    changed job never goes on from a stale state. It lies under $SYNVLP_SCRATCH (default: scratch/).
    """

    def __init__(self, module: str, settings: Settings, inputs: Files) -> None:
        root = Path(os.environ.get("SYNVLP_SCRATCH", "scratch"))
        self.folder = root / f"{module.rpartition('.')[2]}-{digest_of(module, settings, inputs)}"
        self.interval = float(os.environ.get("SYNVLP_CHECKPOINT_SECONDS", "30"))
        self._saved = time.monotonic()
        self._cost = 0.0

    @property
    def file(self) -> Path:
        return self.folder / "state.pt"

    def due(self) -> bool:
        """Whether it is time to save: every 30 s, but never more than 5 % of the time."""
        return time.monotonic() - self._saved >= max(self.interval, 20 * self._cost)

    def checkpoint(self, state: Callable[[], dict], place: str) -> None:
        """Between two steps: save if it is time, or if a signal asks the job to end, which it then does.

        Args:
            state: what to save; called only then.
            place: how far the job is, for the message ("at step 120 of 500").

        Raises:
            Stopped: a signal asked for it. With several processes, all end after the same step.
        """
        _asked.looks = True
        stop = processes.here.any(bool(_asked.signal))
        if stop or self.due():
            self.save(state())
        if stop:
            raise Stopped(f"stopped by {_asked.signal or 'a signal'} {place}; the next start goes on from there")

    def save(self, state: dict) -> None:
        """Save tensors, numbers, text, lists and dicts of them, whole or not at all; of several processes, one does."""
        if processes.here.rank:
            return
        import torch

        start = time.monotonic()
        with files.replacing(self.file) as part, files.written(part) as file:
            torch.save(state, file)
        self._saved = time.monotonic()
        self._cost = self._saved - start

    def load(self) -> dict | None:
        """The last saved state, or None."""
        if not self.file.exists():
            return None
        import torch

        log.info("going on from %s", self.file)
        return torch.load(self.file, map_location="cpu", weights_only=True)

    def remove(self) -> None:
        """Remove the state; the job's outputs are written."""
        _asked.looks = False
        shutil.rmtree(self.folder, ignore_errors=True)


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
