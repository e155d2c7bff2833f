"""The outputs of each job's last run, so that a job that is started again with nothing changed computes nothing.

Within one run Snakemake starts all that follows a changed job, even where that job wrote the same bytes as before.
Such a job finds its settings, its code and its inputs' content unchanged and takes its last outputs again.
"""

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from synvlp import provenance
from synvlp.store import files


class LastRun:
    """What a job wrote when it ran last: hard links beside a list of checksums, under $SYNVLP_SCRATCH/last.

    Hard links take no room while the outputs are there. One run is kept for each set of output paths.
    SYNVLP_REUSE=off turns both keeping and taking off.
    """

    def __init__(self, outputs: Sequence[Path], digest: str) -> None:
        """`digest` stands for the job's settings, code and the content of its inputs."""
        self.outputs, self.digest = list(outputs), digest
        place = provenance.digest(os.path.relpath(path) for path in self.outputs)
        self.folder = Path(os.environ.get("SYNVLP_SCRATCH", "scratch"), "last", place)
        self.wanted = os.environ.get("SYNVLP_REUSE", "on") != "off"

    def restore(self) -> bool:
        """Put the last run's outputs in their places, if it had this digest and they are whole."""
        kept = self._kept()
        if not kept:
            return False
        for path, copy in zip(self.outputs, kept, strict=True):
            with files.replacing(path) as part:
                shutil.copyfile(copy, part)
        return True

    def keep(self) -> None:
        """Remember the outputs as they are now, in place of those of the run before."""
        if not self.wanted:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        # A file system without hard links, or a scratch folder on another one: nothing can be taken again.
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True)
            for number, path in enumerate(self.outputs):
                os.link(path, self.folder / str(number))
            checksums = [files.checksum(path) for path in self.outputs]
            files.write_json(self.folder / "run.json", {"digest": self.digest, "checksums": checksums})

    def _kept(self) -> list[Path]:
        """The kept files, or none if they are another run's, missing or damaged."""
        record = self.folder / "run.json"
        if not self.wanted or not record.is_file():
            return []
        known = files.read_json(record)
        kept = [self.folder / str(number) for number in range(len(self.outputs))]
        same = known["digest"] == self.digest and all(path.is_file() for path in kept)
        return kept if same and [files.checksum(path) for path in kept] == known["checksums"] else []
