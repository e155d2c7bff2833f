"""A corpus in the making: its rows, what was set aside, and how all of it is written."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synvlp import job
from synvlp.store import images, seeds, tables

SPLITS = ("train", "val", "test")
UNWANTED = "view left out"  # how the reason of what is in order, but not wanted, begins
SHOWN = 10  # how many of the items that were set aside stand in the log


class Outputs(job.Files):
    """What every kind of corpus is turned into."""

    studies: Path = job.file("table of studies (Parquet)")
    reports: Path = job.private_file("raw reports (Parquet)")
    images: Path = job.file("square gray images (Parquet)")
    annotations: Path = job.file("boxes and masks (Parquet)")
    rejected: Path = job.file("what was set aside, with the reason (CSV)")


@dataclass
class Corpus:
    """Rows of the tables, gathered study by study."""

    studies: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, str]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)

    def reject(self, item: str, file: str, reason: str) -> None:
        """Set something aside. A reason is "kind" or "kind: detail" and holds no patient's text."""
        self.rejected.append({"item": item, "file": file, "reason": reason})

    def add(self, study: dict[str, Any], *, text: str = "", kind: str = "report", image: bytes = b"") -> None:
        """Add a study with its text and its image (PNG bytes), where it has them."""
        row = {"view": "", "sex": "", "age": float("nan"), "labels": [], "labelled": False} | study
        row |= {"has_image": bool(image), "has_report": bool(text), "text_kind": kind if text else ""}
        self.studies.append(row)
        identity = {"study_id": row["study_id"], "patient_id": row["patient_id"]}
        if text:
            self.reports.append({**identity, "text": text})
        if image:
            self.images.append({"study_id": row["study_id"], "image": image})

    def mark(self, study_id: str, name: str, category: str, box: tuple | None, mask: np.ndarray | None) -> None:
        """Mark an object of the annotation set `name`; category "" says that there is none.

        Args:
            box: x, y, width, height in pixels of the stored image, or None.
            mask: bool (size, size), or None.
        """
        x, y, width, height = box or (float("nan"),) * 4
        encoded = None if mask is None else images.encode(np.where(mask, 255, 0).astype(np.uint8))
        values = {"x": x, "y": y, "width": width, "height": height, "mask": encoded}
        self.annotations.append({"study_id": study_id, "set": name, "category": category, **values})

    def write(self, outputs: Outputs) -> None:
        """Write all tables and log what they hold, in counts."""
        for path, table, rows in (
            (outputs.studies, tables.STUDIES, self.studies),
            (outputs.reports, tables.REPORTS, self.reports),
            (outputs.images, tables.IMAGES, self.images),
            (outputs.annotations, tables.ANNOTATIONS, self.annotations),
        ):
            tables.write(_frame(rows, table), path, table)
        self.write_rejected(outputs.rejected)
        splits = Counter(row["split"] for row in self.studies)
        marked = Counter(name for _, name in {(row["study_id"], row["set"]) for row in self.annotations})
        job.log.info("%d studies: %s", len(self.studies), _counts({name: splits[name] for name in SPLITS}))
        job.log.info("%d images, %d texts", len(self.images), len(self.reports))
        job.log.info("annotated studies: %s", _counts(dict(sorted(marked.items()))) or "none")

    def write_rejected(self, path: Path) -> None:
        """Write the table of what was set aside and log the reasons in counts."""
        frame = _frame(self.rejected, tables.REJECTED).sort_values(["item", "reason"], kind="stable")
        tables.write_csv(frame, path)
        reasons = Counter(row["reason"].partition(":")[0] for row in self.rejected)
        for reason, count in sorted(reasons.items()):
            job.log.info("set aside %d: %s", count, reason)
        wrong = [row for row in self.rejected if not row["reason"].startswith(UNWANTED)]
        for row in wrong[:SHOWN]:
            job.log.info("set aside %s (%s): %s", row["item"], row["file"], row["reason"])


def split_of(seed: int, patient_id: str) -> str:
    """A patient's split where none is given: 70 % train, 10 % val, 20 % test, by a hash of the patient's id."""
    share = seeds.seed_of(seed, "split", patient_id) / 2**63
    return "train" if share < 0.7 else "val" if share < 0.8 else "test"


def _frame(rows: list[dict[str, Any]], table: tables.Table) -> pd.DataFrame:
    """Rows as a frame with the table's columns, also where there are no rows."""
    return pd.DataFrame(rows, columns=list(table.columns))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
