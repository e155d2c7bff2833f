"""The tables that stages hand to each other: one schema per table, checked when written and when read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from synvlp.store import files

TEXT = pa.string()
NUMBER = pa.float64()
WHOLE = pa.int64()
FLAG = pa.bool_()
BYTES = pa.binary()
TEXTS = pa.list_(pa.string())


@dataclass(frozen=True)
class Table:
    """A table's columns with their types, and the columns that identify (and order) its rows."""

    name: str
    columns: dict[str, pa.DataType]
    key: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(list(self.columns.items()))


# One row per study (one frontal image, one report, or both). No text of a report is in here.
STUDIES = Table(
    "studies",
    {
        "study_id": TEXT,
        "patient_id": TEXT,
        "collection": TEXT,  # where it comes from; a task never mixes collections unless told to
        "split": TEXT,  # train, val or test; all studies of a patient are in one
        "view": TEXT,  # PA, AP, … or "" where it is not known
        "sex": TEXT,  # F, M or ""
        "age": NUMBER,  # years; ages over 89 are given as 90; NaN where not known
        "labels": TEXTS,  # the findings that are present
        "labelled": FLAG,  # False: nobody looked, so that an absent label says nothing
        "has_image": FLAG,
        "has_report": FLAG,
        "text_kind": TEXT,  # report, note, or "" where there is none
    },
    key=("study_id",),
)

# Raw reports: private. They are versioned but never shared.
REPORTS = Table("reports", {"study_id": TEXT, "patient_id": TEXT, "text": TEXT}, key=("study_id",))

# The true identifiers in raw reports (drawn corpora only): text == report[start:end].
IDENTIFIERS = Table(
    "identifiers",
    {"study_id": TEXT, "category": TEXT, "start": WHOLE, "end": WHOLE, "text": TEXT},
    key=("study_id", "start"),
)

# Images of a corpus: gray PNG, square, `size` pixels a side (long side resized, short side padded with 0).
IMAGES = Table("images", {"study_id": TEXT, "image": BYTES}, key=("study_id",))

# What was marked in the images, one row per object, in pixels of the stored image.
# A row with category "" says: this study was looked at for this set, and nothing was there.
ANNOTATIONS = Table(
    "annotations",
    {
        "study_id": TEXT,
        "set": TEXT,  # which marking: lungs, findings, opacity, …
        "category": TEXT,
        "x": NUMBER,  # left edge; NaN where only a mask is given
        "y": NUMBER,  # top edge
        "width": NUMBER,
        "height": NUMBER,
        "mask": BYTES,  # gray PNG, 0 outside and 255 inside; null where only a box is given
    },
    key=("set", "study_id", "category", "x", "y"),
)

# Input that was set aside, with the reason; the user reads it as CSV.
REJECTED = Table("rejected", {"item": TEXT, "file": TEXT, "reason": TEXT}, key=("item", "reason"))

# Anonymized reports: no identifier of the original is left in `text`.
ANONYMIZED = Table("anonymized", {"study_id": TEXT, "patient_id": TEXT, "text": TEXT}, key=("study_id",))

# Where identifiers were found in the raw text: positions only, never the text itself.
FOUND = Table(
    "found",
    {"study_id": TEXT, "category": TEXT, "start": WHOLE, "end": WHOLE, "detector": TEXT},
    key=("study_id", "start"),
)

# Sections of anonymized reports; "" where a section is missing.
SECTIONS = Table(
    "sections",
    {
        "study_id": TEXT,
        "indication": TEXT,
        "comparison": TEXT,
        "technique": TEXT,
        "findings": TEXT,
        "impression": TEXT,
        "other": TEXT,
    },
    key=("study_id",),
)

# What the encoders read (`text`) and what the generator is asked for (`prompt`).
PROMPTS = Table(
    "prompts",
    {
        "study_id": TEXT,
        "patient_id": TEXT,
        "split": TEXT,
        "text": TEXT,  # impression and findings, cleaned
        "prompt": TEXT,  # impression first, short enough for the generator's text encoder
        "origin": TEXT,  # report, note, caption (from labels, where no text is) or written (from concepts); see MARKED
    },
    key=("study_id",),
)

# How the origin begins of a text in which marks of a de-identification (___, XXXX) were left. Only an ablation of what
# generators memorize has such texts; no encoder reads them.
MARKED = "marked "
# Sets of concepts that reports are to be written from: findings first, then anatomy.
SETS = Table("sets", {"study_id": TEXT, "concepts": TEXTS}, key=("study_id",))

# Reports written from sets of concepts; each names all and only the concepts of its set.
WRITTEN = Table(
    "written reports",
    {
        "study_id": TEXT,
        "concepts": TEXTS,
        "findings": TEXT,
        "impression": TEXT,
        "rewrites": WHOLE,  # texts before this one that lacked or added concepts
    },
    key=("study_id",),
)

# What is spoken of in reports. What a concept excludes excludes it, too.
VOCABULARY = Table(
    "vocabulary",
    {
        "concept": TEXT,
        "kind": TEXT,  # abnormality, non-abnormality, disease, non-disease or anatomy
        "synonyms": TEXTS,  # other words for it; see concepts/vocabulary.py
        "definition": TEXT,
        "origin": TEXT,  # where the definition comes from
        "excludes": TEXTS,  # concepts that cannot be true of the same image
    },
    key=("concept",),
)

# Where reports speak of concepts: positions in the `text` of the table of prompts.
MENTIONS = Table(
    "mentions",
    {
        "study_id": TEXT,
        "concept": TEXT,
        "kind": TEXT,
        "sentence": WHOLE,  # of the text, counted from 0
        "start": WHOLE,
        "end": WHOLE,
        "status": TEXT,  # present, absent or uncertain
        "detector": TEXT,  # rules or classifier
    },
    key=("study_id", "start", "end", "concept"),
)

# Synthetic images: a shard is one file of such rows, and a released data set as it stands.
SHARD = Table(
    "shard",
    {
        "study_id": TEXT,
        "draw": WHOLE,  # 0, or the number of rejected draws before this one
        "image": BYTES,  # gray PNG, square
        "prompt": TEXT,
        "seed": WHOLE,  # seeds the sample's noise
        "accepted": FLAG,
        "reason": TEXT,  # why not accepted; "" where it is
        "mean": NUMBER,  # gray levels, 0 to 255
        "deviation": NUMBER,  # gray levels
        "saturated": NUMBER,  # share of pixels that are 0 or 255
    },
    key=("study_id", "draw"),
)

# Features of images in one space, for the measures of their quality.
EMBEDDED = Table(
    "embedded images",
    {
        "study_id": TEXT,
        "draw": WHOLE,  # 0 for real images
        "features": pa.list_(pa.float32()),
    },
    key=("study_id", "draw"),
)

# Each synthetic image's nearest training image in each feature space.
NEAREST = Table(
    "nearest training images",
    {
        "study_id": TEXT,
        "draw": WHOLE,
        "split": TEXT,  # of the prompt
        "marked": FLAG,  # whether marks of a de-identification were left in the prompt (an ablation)
        "space": TEXT,
        "nearest": TEXT,  # study of the nearest training image
        "distance": NUMBER,
        "second": NUMBER,  # distance to the nearest training image of another patient than that one's
        "heldout": NUMBER,  # distance to the nearest held-out image of another patient than the prompt's
        "nearer": NUMBER,  # probability that training is nearer, of equal numbers of both
        "own": NUMBER,  # share of other patients' images that are farther than its own study's; NaN: it has none
    },
    key=("space", "study_id", "draw"),
)

# What a classifier and an image-text encoder make of synthetic and of held-out real images.
AGREEMENT = Table(
    "agreement with prompts",
    {
        "study_id": TEXT,
        "draw": WHOLE,  # 0 for real images
        "patient_id": TEXT,
        "kind": TEXT,  # synthetic or real
        "label": TEXT,  # the finding; "" for the rank of the own prompt
        "score": NUMBER,  # log odds of the finding, or the rank, 1 the first
        "target": WHOLE,  # whether the report has the finding, 0 or 1; -1 for ranks
    },
    key=("kind", "label", "study_id", "draw"),
)

# The measures of all sets of synthetic images, one row each, beside what real images reach.
QUALITY = Table(
    "quality of synthetic images",
    {
        "generator": TEXT,
        "corpus": TEXT,  # whose prompts
        "measure": TEXT,
        "space": TEXT,  # feature space; "" where there is none
        "group": TEXT,  # which images, prompts or findings; "" for all
        "value": NUMBER,
        "low": NUMBER,  # 95 % interval
        "high": NUMBER,
        "n": WHOLE,
        "reference_kind": TEXT,  # floor, ceiling or real
        "reference": NUMBER,  # the same figure of real images
        "reference_low": NUMBER,
        "reference_high": NUMBER,
        "reference_n": WHOLE,
    },
    key=("generator", "corpus", "measure", "space", "group"),
)

# Pairs for pre-training; row i belongs to row i of the pixels beside it.
PAIRS = Table(
    "pairs",
    {
        "study_id": TEXT,
        "patient_id": TEXT,
        "split": TEXT,
        "text": TEXT,
        "synthetic": FLAG,
    },
    key=("study_id",),
)

# What judges of image-text pairs say: one row per study and reason. A score above 1 is beyond the judge's limit.
JUDGEMENTS = Table(
    "judgements",
    {
        "study_id": TEXT,
        "patient_id": TEXT,
        "split": TEXT,
        "fold": WHOLE,  # whose model judged it, one that saw no study of the patient; -1 where no model did
        "reason": TEXT,
        "score": NUMBER,  # as a multiple of the limit
        "detail": TEXT,  # what a score cannot say, such as the study that this one repeats
    },
    key=("study_id", "reason"),
)

# Which studies of a corpus are kept for pre-training.
CURATED = Table(
    "curated",
    {
        "study_id": TEXT,
        "patient_id": TEXT,
        "split": TEXT,
        "kept": FLAG,
        "reason": TEXT,  # that with the highest score, or "put back", "also rejected"; "" where nothing speaks against
        "score": NUMBER,  # NaN where no score says it
        "reasons": TEXTS,  # all that speak against it
        "detail": TEXT,
    },
    key=("study_id",),
)

# What was done to the studies of a corrupted copy of a corpus; the others are as they were.
CORRUPTED = Table(
    "corrupted",
    {
        "study_id": TEXT,
        "patient_id": TEXT,
        "way": TEXT,
        "other": TEXT,  # the study that image or text was taken from, or ""
    },
    key=("study_id",),
)

# Loss curves of generators and encoders.
CURVE = Table("curve", {"step": WHOLE, "phase": TEXT, "name": TEXT, "value": NUMBER}, key=("step", "phase", "name"))

# The samples of a task's data set; row i belongs to row i of the pixels (and masks) beside it.
SAMPLES = Table(
    "samples",
    {
        "study_id": TEXT,
        "patient_id": TEXT,
        "split": TEXT,  # train, val or test
        "labels": TEXTS,  # what the sample holds, of the data set's labels; the others are absent
    },
    key=("study_id",),
)

# Per-sample predictions; what a comparison needs to be paired and recomputed.
CLASSIFICATION = Table(
    "classification predictions",
    {
        "fraction": NUMBER,
        "seed": WHOLE,
        "study_id": TEXT,
        "patient_id": TEXT,
        "label": TEXT,
        "target": WHOLE,  # 0 or 1
        "score": NUMBER,  # probability
    },
    key=("fraction", "seed", "study_id", "label"),
)
SEGMENTATION = Table(
    "segmentation predictions",
    {
        "fraction": NUMBER,
        "seed": WHOLE,
        "study_id": TEXT,
        "patient_id": TEXT,
        "label": TEXT,
        "target_pixels": WHOLE,
        "predicted_pixels": WHOLE,
        "common_pixels": WHOLE,
    },
    key=("fraction", "seed", "study_id", "label"),
)
# One row per detected box, and one with rank -1 per image that holds the number of true objects, so that
# images without detections and images without objects count.
DETECTION = Table(
    "detection predictions",
    {
        "fraction": NUMBER,
        "seed": WHOLE,
        "study_id": TEXT,
        "patient_id": TEXT,
        "label": TEXT,
        "rank": WHOLE,  # -1 for the image's own row, else the place by score within image and label
        "objects": WHOLE,  # number of true boxes of this label in the image (rank -1), else 0
        "score": NUMBER,
        "x": NUMBER,
        "y": NUMBER,
        "width": NUMBER,
        "height": NUMBER,
        # True positive at IoU 0.40, 0.45, …, 0.95 (12 thresholds), by COCO's greedy matching in the image.
        "matched": pa.list_(pa.bool_()),
    },
    key=("fraction", "seed", "study_id", "label", "rank"),
)


# As CLASSIFICATION, of encoders that were not trained for it: with what thresholds from the validation split say.
ZERO_SHOT = Table(
    "zero-shot predictions",
    {
        "fraction": NUMBER,  # 0: no labels were used
        "seed": WHOLE,
        "study_id": TEXT,
        "patient_id": TEXT,
        "label": TEXT,
        "target": WHOLE,  # 0 or 1
        "score": NUMBER,  # probability
        "predicted": WHOLE,  # 0 or 1
    },
    key=("fraction", "seed", "study_id", "label"),
)
# What any other task measures sample by sample: a metric is the weighted mean of its values over samples, then the
# mean over labels. A task that writes this table needs no code of its own in the stage of the tables.
MEASURED = Table(
    "measured samples",
    {
        "fraction": NUMBER,  # share of the training labels; 0: none
        "seed": WHOLE,
        "study_id": TEXT,
        "patient_id": TEXT,
        "label": TEXT,  # "" where the metric is not one of labels
        "metric": TEXT,
        "value": NUMBER,  # more is better
        "weight": NUMBER,  # how much the sample counts, as 1 / n for each of n samples that count as one
        "chance": NUMBER,  # the value to be expected without looking; NaN where that says nothing
    },
    key=("fraction", "seed", "metric", "study_id", "label"),
)


# The comparison: rows with an empty reference are an encoder's own value, the others are differences
# value(method, source) − value(reference_method, reference_source). Intervals come from resampled patients.
COMPARISON = Table(
    "comparison",
    {
        "task": TEXT,
        "dataset": TEXT,
        "metric": TEXT,  # from 0 to 1, more is better
        "fraction": NUMBER,  # share of the training labels
        "method": TEXT,
        "source": TEXT,
        "reference_method": TEXT,  # "" in rows of own values
        "reference_source": TEXT,  # "" in rows of own values
        "value": NUMBER,  # mean over runs, on the test split as it is
        "low": NUMBER,  # 95 % interval
        "high": NUMBER,
        "low90": NUMBER,  # 90 % interval, which the equivalence test reads
        "high90": NUMBER,
        "share": NUMBER,  # two-sided bootstrap p-value of a difference; NaN in rows of own values
        "adjusted": NUMBER,  # the same after Holm, over all differences of the same metric and kind
        "verdict": TEXT,  # equivalent, superior, inferior, not inferior, undecided; "" in rows of own values
        "margin": NUMBER,  # what the verdict counts as equivalent; NaN in rows of own values
        "spread": NUMBER,  # standard deviation over runs; NaN for one run and for differences
        "runs": WHOLE,  # encoder seeds × probe seeds
        "reference_runs": WHOLE,  # 0 in rows of own values
        "studies": WHOLE,
        "patients": WHOLE,
        "resamples": WHOLE,  # those in which the metric is defined
    },
    key=("task", "dataset", "metric", "fraction", "method", "source", "reference_method", "reference_source"),
)


class TableError(ValueError):
    """A table that does not have the columns it should have."""


def write(frame: pd.DataFrame, path: Path, table: Table, *, rows_per_group: int = 4096) -> None:
    """Write `frame` as Parquet with the table's columns, in their order, sorted by the table's key.

    Raises TableError for a missing column, an unknown one.
    """
    missing = [name for name in table.columns if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in table.columns]
    if missing or unknown:
        raise TableError(f"table {table.name}: missing columns {missing}, unknown columns {unknown}")
    if table.key:
        frame = frame.sort_values(list(table.key), kind="stable")
    arrow = pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False).replace_schema_metadata(None)
    with files.replacing(path) as part:
        pq.write_table(arrow, part, row_group_size=rows_per_group, compression="zstd")


def read(path: Path, table: Table, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet table (or some of its columns) and check that it is the one that is meant.

    Raises TableError, naming file and columns, if the file is none or has other columns.
    """
    wanted = list(columns or table.columns)
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{path}: not a readable Parquet table ({error})") from error
    missing = [name for name in wanted if name not in names]
    if missing:
        raise TableError(f"{path}: not a table of {table.name}: it has no column {', '.join(missing)}")
    return pd.read_parquet(path, columns=wanted)


def read_all(paths: Sequence[Path], table: Table, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read several files of one table as one frame, in the order of the table's key."""
    frames = [read(path, table, columns) for path in paths]
    frame = pd.concat(frames, ignore_index=True)
    key = [name for name in table.key if name in frame.columns]
    return frame.sort_values(key, kind="stable", ignore_index=True) if key else frame


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table for people: CSV, UTF-8, numbers with up to six significant digits."""
    files.write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
