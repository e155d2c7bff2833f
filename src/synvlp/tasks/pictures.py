"""Pictures of test images with what is true (green) and what was predicted (orange)."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from synvlp.store import files

TRUE = (60, 200, 90)
PREDICTED = (255, 140, 0)
SIDE = 256  # pixels a tile, at least
GAP = 4
LEGEND = 16  # pixels high
COLUMNS = 4


def choose(samples: pd.DataFrame, count: int) -> np.ndarray:
    """Rows of up to `count` test samples to show: three with something marked for each one without."""
    test = np.flatnonzero(samples["split"] == "test")
    marked = np.array([len(samples["labels"].iloc[row]) > 0 for row in test], bool)
    without = min(int((~marked).sum()), max(count // 4, count - int(marked.sum())))
    return np.sort(np.concatenate([_spread(test[marked], count - without), _spread(test[~marked], without)]))


def outlines(pixels: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> Image.Image:
    """A tile with the edges of masks. `pixels`: uint8 (s, s); masks: bool (channels, s, s)."""
    tile, scale = _tile(pixels)
    colours = np.array(tile)
    for masks, colour in ((true, TRUE), (predicted, PREDICTED)):
        for mask in masks:
            colours[_edge(np.kron(mask, np.ones((scale, scale), bool)))] = colour
    return Image.fromarray(colours)


def boxes(pixels: np.ndarray, true: np.ndarray, predicted: np.ndarray, scores: Sequence[float]) -> Image.Image:
    """A tile with boxes (m, 4: x, y, width, height in pixels), predicted ones with their score."""
    tile, scale = _tile(pixels)
    pen = ImageDraw.Draw(tile)
    for found, colour in ((true, TRUE), (predicted, PREDICTED)):
        for x, y, width, height in np.asarray(found) * scale:
            pen.rectangle((x, y, x + width, y + height), outline=colour, width=2)
    for (x, y, _, _), score in zip(np.asarray(predicted) * scale, scores, strict=True):
        pen.text((min(x + 3, tile.width - 24), min(y + 2, tile.height - 12)), f"{score:.2f}", fill=PREDICTED)
    return tile


def write(path: Path, tiles: Sequence[Image.Image]) -> None:
    """Write tiles of one size as a PNG, four in a row, above a line that explains the colours."""
    side = tiles[0].width + GAP
    columns = min(COLUMNS, len(tiles))
    bottom = -(-len(tiles) // columns) * side
    sheet = Image.new("RGB", (columns * side - GAP, bottom + LEGEND), (20, 20, 20))
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, bottom), "true", fill=TRUE)
    pen.text((GAP + 40, bottom), "predicted", fill=PREDICTED)
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * side, number // columns * side))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    files.write_bytes(path, buffer.getvalue())


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))] if len(rows) else rows


def _tile(pixels: np.ndarray) -> tuple[Image.Image, int]:
    scale = -(-SIDE // pixels.shape[0])
    large = np.kron(pixels, np.ones((scale, scale), np.uint8))
    return Image.fromarray(large).convert("RGB"), scale


def _edge(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask within two pixels of its outside, bool like `mask`."""
    inner = mask.copy()
    for _ in range(2):
        padded = np.pad(inner, 1)
        inner = padded[1:-1, 1:-1] & padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    return mask & ~inner
