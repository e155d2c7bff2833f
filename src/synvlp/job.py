"""The frame of one job: its settings, its files, its log, its progress and what it saves against a kill.

A job is a module with four names: `Settings`, `Inputs`, `Outputs` and `run(settings, inputs, outputs)`.
The command line, the check of the config and the reference page are made from the first three.
"""

import csv
import logging
import os
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticUndefined

from synvlp import provenance
from synvlp.store import files, tables

log = logging.getLogger("synvlp")


class JobError(Exception):
    """Something the user can mend. The message says what is wrong, where, and what would be right."""


class Settings(BaseModel):
    """Base of a job's settings. Subclasses are flat: text, numbers, flags and lists of these."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

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


def file(meaning: str) -> Any:
    """A path, or a list of paths, that a job reads or writes."""
    return Field(description=meaning)


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
    try:
        module.run(settings, inputs, outputs)
    except tables.TableError as error:
        raise JobError(str(error)) from error
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        raise JobError(f"cannot read or write {error.filename or 'a file'}: {error.strerror}") from error
    for path in outputs.paths():
        if not path.is_file():
            raise RuntimeError(f"{verb} ended without writing {path}")
        log.info("wrote %s, %s", path, size_of(path))
    log.info("done in %.1f s", time.monotonic() - start)


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
        parts = [module, settings.flags(), provenance.fingerprint(module)]
        parts += [files.checksum(path) for path in inputs.paths()]
        root = Path(os.environ.get("SYNVLP_SCRATCH", "scratch"))
        self.folder = root / f"{module.rpartition('.')[2]}-{provenance.digest(parts)}"
        self.interval = float(os.environ.get("SYNVLP_CHECKPOINT_SECONDS", "30"))
        self._saved = time.monotonic()
        self._cost = 0.0

    @property
    def file(self) -> Path:
        return self.folder / "state.pt"

    def due(self) -> bool:
        """Whether it is time to save: every 30 s, but never more than 5 % of the time."""
        return time.monotonic() - self._saved >= max(self.interval, 20 * self._cost)

    def save(self, state: dict) -> None:
        """Save tensors, numbers, text, lists and dicts of them, whole or not at all."""
        import torch

        start = time.monotonic()
        with files.replacing(self.file) as part:
            torch.save(state, part)
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
        shutil.rmtree(self.folder, ignore_errors=True)


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
