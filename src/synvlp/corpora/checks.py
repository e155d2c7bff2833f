"""What every corpus from outside is checked for: tables of text, paths, images, masks and boxes.

A check that one item fails raises Rejected, and the item is set aside with the reason; a file that is wrong as
a whole raises JobError. Reasons are "kind" or "kind: detail", and never hold a patient's text.
"""

import csv
import io
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from synvlp.job import JobError

csv.field_size_limit(2**24)
# What Pillow raises for broken images. RuntimeError: a broken AVIF, and as NotImplementedError kinds of DDS and BLP
# that Pillow does not know. TypeError, KeyError, IndexError, struct.error: it takes a header's values for what they
# should be, and fails where it uses them, as for a TIFF that gives the place of its pixels as a fraction.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, TypeError, KeyError, IndexError, struct.error)
_BROKEN += (Image.DecompressionBombError,)
_CHECKSUM = re.compile(r"([0-9a-fA-F]{64}) [ *](.+?)\r?")


class Rejected(ValueError):
    """One item of the input cannot be used; the message is the reason."""


@dataclass(frozen=True)
class Row:
    """A row of a CSV file: the line it starts on, and its cells by column, without blanks around them."""

    line: int
    cells: dict[str, str]
    problem: str = ""  # why the row cannot be read, or ""

    def get(self, column: str) -> str:
        """The cell of a column, "" where the file has no such column."""
        return self.cells.get(column, "")


def read_csv(path: Path, required: Sequence[str], hint: str) -> list[Row]:
    """Read a CSV file: comma-separated, UTF-8, its first line names the columns.

    Args:
        path: the file.
        required: columns that must be there.
        hint: where the layout is described, for messages.

    Raises JobError for another encoding (naming line and byte), a broken quote, missing or repeated columns, no rows.
    """
    text = _decode(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, start = [], 1
    header: list[str] = []
    try:
        for fields in reader:
            line, start = start, reader.line_num + 1
            if not fields:
                continue
            if not header:
                header = _header(path, [field.strip() for field in fields], required, hint)
            else:
                rows.append(_row(line, header, fields))
    except csv.Error as error:
        raise JobError(f"{path}, line {start}: not readable as CSV ({error}); {hint}") from error
    if not rows:
        raise JobError(f"{path} has no rows below its header; {hint}")
    return rows


def _decode(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise JobError(
            f"{path}, line {line}: byte {error.start} is 0x{data[error.start]:02x}, which is not UTF-8; "
            "save the file as UTF-8"
        ) from error


def _header(path: Path, names: list[str], required: Sequence[str], hint: str) -> list[str]:
    missing = [name for name in required if name not in names]
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if missing:
        found = ", ".join(names[:40]) or "none"
        raise JobError(
            f"{path} has no column {', '.join(missing)}; its columns, separated by commas, are: {found}; {hint}"
        )
    if twice:
        raise JobError(f"{path} has column {', '.join(twice)} more than once; {hint}")
    return names


def _row(line: int, header: list[str], fields: list[str]) -> Row:
    cells = dict(zip(header, (field.strip() for field in fields), strict=False))
    if len(fields) == len(header):
        return Row(line, cells)
    return Row(line, cells, f"wrong number of cells: {len(fields)} where the header has {len(header)}")


def beside(folder: Path, name: str) -> Path:
    """The path of a file named in a table that lies in `folder`. Raises Rejected if it lies elsewhere or nowhere."""
    inner = PurePosixPath(name.replace("\\", "/"))
    if inner.is_absolute() or ".." in inner.parts or name[1:2] == ":":
        raise Rejected("path leads out of the collection's folder")
    path = folder / inner
    if not path.is_file():
        raise Rejected("missing file")
    return path


def read_checksums(path: Path) -> dict[str, str]:
    """File -> SHA-256 (lower case, hexadecimal) from a list as `sha256sum` writes it.

    Raises JobError, naming the line, for anything else.
    """
    found = {}
    for number, line in enumerate(_decode(path).split("\n"), 1):
        match = _CHECKSUM.fullmatch(line)
        if match:
            found[str(PurePosixPath(match[2]))] = match[1].lower()
        elif line:
            raise JobError(f"{path}, line {number}: not `sha256sum`'s: 64 hexadecimal digits, two blanks, a name")
    return found


def read_gray(data: bytes) -> np.ndarray:
    """A picture as gray levels, uint8 (height, width); more than 8 bits are scaled from their own range.

    Raises Rejected if it cannot be read or is the same gray all over.
    """
    image = _open(data)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        values = np.asarray(image, dtype=np.float64)
        low, high = np.nanmin(values), np.nanmax(values)
        if not np.isfinite(values).all():
            raise Rejected("unreadable image: values that are not finite")
        pixels = np.round((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    else:
        try:
            pixels = np.asarray(image.convert("L"))
        except ValueError as error:
            raise Rejected(f"unreadable image: mode {image.mode}, which Pillow cannot turn gray") from error
    if pixels.size < 64 or min(pixels.shape) < 8:
        raise Rejected(f"image too small: {pixels.shape[1]} x {pixels.shape[0]} pixels")
    if pixels.std() < 0.5:
        raise Rejected("constant image")
    return pixels


def read_classes(data: bytes) -> np.ndarray:
    """A map of classes as whole numbers (height, width); a palette's colours do not matter. Raises Rejected."""
    image = _open(data)
    if image.mode not in ("P", "L", "1", "I", "I;16"):
        raise Rejected(f"unreadable mask: mode {image.mode} where one channel of class numbers is expected")
    return np.asarray(image).astype(np.int64)


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except _BROKEN as error:
        raise Rejected(f"unreadable image: {type(error).__name__}") from error
    return image


@dataclass(frozen=True)
class Fit:
    """How a picture of `width` by `height` pixels comes to lie in a square: long side resized, the rest zeros."""

    width: int
    height: int
    size: int

    @property
    def inner(self) -> tuple[int, int]:
        """Width and height in the square."""
        scale = self.size / max(self.width, self.height)
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))

    @property
    def offset(self) -> tuple[int, int]:
        """Left and top margins."""
        width, height = self.inner
        return (self.size - width) // 2, (self.size - height) // 2

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (height, width) to uint8 (size, size): area-averaged when it shrinks, bicubic when it grows."""
        shrinks = self.size < max(self.width, self.height)
        method = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
        return self._place(np.asarray(Image.fromarray(pixels).resize(self.inner, method)))

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """bool (height, width) to bool (size, size); what is there stays there, be it ever so small.

        Raises Rejected for a mask of another size than the picture's and for an empty one.
        """
        if mask.shape != (self.height, self.width):
            raise Rejected(
                f"mask of another size: {mask.shape[1]} x {mask.shape[0]} on an image of {self.width} x {self.height}"
            )
        if not mask.any():
            raise Rejected("empty mask")
        levels = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
        small = np.asarray(levels.resize(self.inner, Image.Resampling.BOX))
        if not small.any():  # a few pixels of a large picture: less than one level, in eight bits rounded to none
            small = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(self.inner, Image.Resampling.BOX))
            small = np.where(small == small.max(), 255, 0)
        return self._place(small) >= min(128, int(small.max()))

    def box(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box (x, y, width, height) of the picture, in pixels of the square.

        Raises Rejected for an empty box and for one that reaches more than a pixel out of the picture; less
        than that is rounding, and is cut off.
        """
        x, y, width, height = box
        if not np.isfinite(box).all() or width <= 0 or height <= 0:
            raise Rejected("empty box")
        right, bottom = x + width, y + height
        if x < -1 or y < -1 or right > self.width + 1 or bottom > self.height + 1:
            raise Rejected("box outside its image")
        left, top = max(x, 0.0), max(y, 0.0)
        right, bottom = min(right, self.width), min(bottom, self.height)
        across, down = self.inner[0] / self.width, self.inner[1] / self.height
        if right <= left or bottom <= top:
            raise Rejected("box outside its image")
        return (
            self.offset[0] + left * across,
            self.offset[1] + top * down,
            (right - left) * across,
            (bottom - top) * down,
        )

    def _place(self, levels: np.ndarray) -> np.ndarray:
        square = np.zeros((self.size, self.size), np.uint8)
        x, y = self.offset
        width, height = self.inner
        square[y : y + height, x : x + width] = levels
        return square


class Identities:
    """Study ids that may come once, and patients who may be in one split only."""

    def __init__(self) -> None:
        self.splits: dict[str, str] = {}
        self._studies: set[str] = set()

    def check(self, study_id: str, patient_id: str, split: str) -> None:
        """Raises Rejected for an id that came before and for a patient who is in another split."""
        if study_id in self._studies:
            raise Rejected("duplicate id")
        before = self.splits.get(patient_id, split)
        if before != split:
            raise Rejected(f"patient in two splits: {split} here, {before} before")
        self.splits[patient_id] = split
        self._studies.add(study_id)


_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validate": "val", "validation": "val"}
_SPLITS |= {"dev": "val", "test": "test", "testing": "test"}


def split_named(name: str) -> str:
    """train, val or test for one of their usual names. Raises Rejected for another name."""
    if name.lower() not in _SPLITS:
        raise Rejected("unknown split: expected train, val or test")
    return _SPLITS[name.lower()]


def labels_of(cell: str) -> tuple[list[str], bool]:
    """The labels in a cell, separated by ; or |, and whether somebody looked: an empty cell says nobody did.

    `No Finding` (also `normal`, `none`) is no label: it says that nothing was found.
    """
    parts = [part.strip() for part in cell.replace("|", ";").split(";")]
    labels = [part for part in dict.fromkeys(parts) if part]
    present = [label for label in labels if label.lower() not in ("no finding", "no findings", "normal", "none")]
    return present, bool(labels)
