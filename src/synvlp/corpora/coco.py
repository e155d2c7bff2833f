"""Boxes and masks in COCO's JSON format, checked entry by entry."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from synvlp.corpora.checks import Fit, Rejected

_SPLIT = re.compile(r"_(train|val|valid|validation|test)$")


@dataclass(frozen=True)
class Marked:
    """What a COCO file says about one image."""

    image_id: str  # the collection's own id, "" where the file gives only a file's name
    file_name: str
    width: int | None
    height: int | None
    objects: tuple[tuple[str, dict[str, Any]], ...]  # category name, annotation
    problem: str = ""  # why the image cannot be used, or ""


def set_name(path: Path) -> str:
    """The annotation set a file belongs to: its name without _train, _val, _test."""
    return _SPLIT.sub("", path.stem)


def read(path: Path) -> Iterator[Marked]:
    """Yield the images of a COCO file with their annotations. Raises Rejected if it is none."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
        names = _names(content["categories"])
        objects: dict[Any, list] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            objects[annotation["image_id"]].append((names[annotation["category_id"]], annotation))
        images = content["images"]
        uses = Counter(image["id"] for image in images)
    except UnicodeDecodeError as error:
        raise Rejected(f"unreadable COCO file: byte {error.start} is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, Rejected):
            raise
        raise Rejected("unreadable COCO file: not JSON") from error
    except (KeyError, TypeError) as error:
        raise Rejected(f"unreadable COCO file: missing or unknown {error}") from error
    for image in images:
        yield Marked(
            str(image.get("image_id", "")),
            str(image.get("file_name", "")),
            image.get("width"),
            image.get("height"),
            tuple(objects[image["id"]]),
            # Whose the annotations are cannot be told.
            "" if uses[image["id"]] == 1 else "COCO id of several images",
        )


def _names(categories: list[dict[str, Any]]) -> dict[Any, str]:
    """The categories' names by id. Raises Rejected for an id with two names or none."""
    names: dict[Any, str] = {}
    for category in categories:
        name = str(category["name"])
        if not name:  # in the corpus this says that there is no object
            raise Rejected("unreadable COCO file: category without a name")
        if names.setdefault(category["id"], name) != name:
            raise Rejected("unreadable COCO file: one id for several categories")
    return names


def box_of(annotation: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """x, y, width, height, or None where there is no box. Raises Rejected for anything else."""
    box = annotation.get("bbox")
    if not box:
        return None
    try:
        x, y, width, height = (float(value) for value in box)
    except (TypeError, ValueError) as error:
        raise Rejected("malformed box: four numbers are expected") from error
    return x, y, width, height


def mask_of(annotation: dict[str, Any], fit: Fit) -> np.ndarray | None:
    """The mask, bool (height, width), or None where there is none. Raises Rejected if it cannot be read.

    A segmentation is a run-length code or a list of polygons (https://cocodataset.org/#format-data).
    """
    code = annotation.get("segmentation")
    if not code:
        return None
    try:
        return _runs(code) if isinstance(code, dict) else _polygons(code, fit)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        if isinstance(error, Rejected):
            raise
        raise Rejected("malformed segmentation") from error


def _runs(code: dict[str, Any]) -> np.ndarray:
    """Decode a run-length code: runs of 0 and 1 in turn, down the columns."""
    height, width = (int(value) for value in code["size"])
    counts = code["counts"]
    runs = np.array(_uncompress(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    if min(height, width) < 1 or height * width > 2**28 or (runs < 0).any() or runs.sum() != height * width:
        raise Rejected("malformed segmentation: its runs do not fill its size")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _uncompress(text: str) -> list[int]:
    """The runs in COCO's compressed text: 5 bits a character, lowest first, from the third run on as the
    difference from the run before the last."""
    runs: list[int] = []
    place = 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[place]) - 48
            if not 0 <= bits < 64 or shift > 40:
                raise Rejected("malformed segmentation: unknown characters in its runs")
            value |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            place, shift = place + 1, shift + 5
            if not more and bits & 0x10:
                value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs


def _polygons(polygons: list, fit: Fit) -> np.ndarray:
    canvas = Image.new("1", (fit.width, fit.height))
    pen = ImageDraw.Draw(canvas)
    for polygon in polygons:
        points = [float(value) for value in polygon]
        if len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
            raise Rejected("malformed segmentation: a polygon needs three points")
        pen.polygon(list(zip(points[::2], points[1::2], strict=True)), fill=1)
    return np.asarray(canvas)
