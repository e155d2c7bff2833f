"""Pictures of test images: what is true in blue outlines, what was predicted as orange areas."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from synvlp.store import files

TRUE = (40, 170, 255)
PREDICTED = (255, 140, 0)
PAPER = (20, 20, 20)
MASK, BOX = 0.4, 0.15  # opacity of predicted areas
HEAT = 0.7  # opacity of a map at its highest
EDGE = 3  # pixels of a true outline
SIDE = 256  # pixels a tile, at least
GAP = 6
LINE = 22  # pixels high
COLUMNS = 2


def choose(samples: pd.DataFrame, count: int) -> np.ndarray:
    """Rows of up to `count` test samples to show: three with something marked for each one without."""
    test = np.flatnonzero(samples["split"] == "test")
    marked = np.array([len(samples["labels"].iloc[row]) > 0 for row in test], bool)
    without = min(int((~marked).sum()), max(count // 4, count - int(marked.sum())))
    return np.sort(np.concatenate([_spread(test[marked], count - without), _spread(test[~marked], without)]))


def of_masks(pixels: np.ndarray, true: np.ndarray, predicted: np.ndarray, labels: Sequence[str]) -> Image.Image:
    """A tile with masks. `pixels`: uint8 (s, s); masks: bool (labels, s, s)."""
    colours, scale = _enlarged(pixels)
    block = np.ones((scale, scale), bool)
    _tint(colours, np.kron(predicted.any(0), block), MASK)
    for mask in true:
        colours[_edge(np.kron(mask, block))] = TRUE
    present = [[name for name, mask in zip(labels, masks, strict=True) if mask.any()] for masks in (true, predicted)]
    return _captioned(Image.fromarray(colours), *present)


def of_boxes(
    pixels: np.ndarray,
    true: np.ndarray,
    true_labels: Sequence[str],
    predicted: np.ndarray,
    predicted_labels: Sequence[str],
    scores: Sequence[float],
) -> Image.Image:
    """A tile with boxes (m, 4: x, y, width, height in pixels of `pixels`), predicted ones with their score."""
    colours, scale = _enlarged(pixels)
    true, predicted = np.asarray(true) * scale, np.asarray(predicted) * scale
    rows, columns = np.mgrid[: len(colours), : len(colours)]
    for x, y, width, height in predicted:
        _tint(colours, (columns >= x) & (columns <= x + width) & (rows >= y) & (rows <= y + height), BOX)
    tile = Image.fromarray(colours)
    pen, font = ImageDraw.Draw(tile), ImageFont.load_default(size=14)
    for boxes, colour, line in ((predicted, PREDICTED, 2), (true, TRUE, EDGE)):
        for x, y, width, height in boxes:
            pen.rectangle((x, y, x + width, y + height), outline=colour, width=line)
    for (x, y, width, height), score in zip(predicted, scores, strict=True):
        corner = min(x + width, tile.width) - 5, min(y + height, tile.height) - 4
        pen.text(corner, f"{score:.2f}", PREDICTED, font, anchor="rs", stroke_width=2, stroke_fill=PAPER)
    return _captioned(tile, true_labels, predicted_labels)


def of_heat(
    pixels: np.ndarray, true: np.ndarray, heat: np.ndarray, true_caption: str, heat_caption: str
) -> Image.Image:
    """A tile with a map from 0 to 1, (s, s), as an orange haze over the image, and a mask, bool (s, s), outlined."""
    colours, scale = _enlarged(pixels)
    block = np.ones((scale, scale))
    opacity = HEAT * np.kron(heat, block)[:, :, None]
    colours = np.rint((1 - opacity) * colours + opacity * np.array(PREDICTED)).astype(np.uint8)
    colours[_edge(np.kron(true, block.astype(bool)))] = TRUE
    return _captioned(Image.fromarray(colours), [true_caption], [heat_caption])


def write(path: Path, tiles: Sequence[Image.Image]) -> None:
    """Write tiles of one size as a PNG, two in a row, above a line that explains the colours."""
    width, height = tiles[0].width + GAP, tiles[0].height + GAP
    columns = min(COLUMNS, len(tiles))
    bottom = -(-len(tiles) // columns) * height
    sheet = Image.new("RGB", (columns * width - GAP, bottom + LINE), PAPER)
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * width, number // columns * height))
    pen = ImageDraw.Draw(sheet)
    _line(pen, 0, bottom, "true", TRUE, sheet.width)
    _line(pen, 70, bottom, "predicted", PREDICTED, sheet.width)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    files.write_bytes(path, buffer.getvalue())


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))] if len(rows) else rows


def _enlarged(pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """Colours, uint8 (side, side, 3), and how many times larger they are."""
    scale = -(-SIDE // pixels.shape[0])
    large = np.kron(pixels, np.ones((scale, scale), np.uint8))
    return np.repeat(large[:, :, None], 3, 2), scale


def _tint(colours: np.ndarray, area: np.ndarray, opacity: float) -> None:
    colours[area] = np.rint((1 - opacity) * colours[area] + opacity * np.array(PREDICTED)).astype(np.uint8)


def _edge(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask within EDGE pixels of its outside, bool like `mask`."""
    inner = mask.copy()
    for _ in range(EDGE):
        padded = np.pad(inner, 1)
        inner = padded[1:-1, 1:-1] & padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    return mask & ~inner


def _captioned(tile: Image.Image, true: Iterable[str], predicted: Iterable[str]) -> Image.Image:
    """The tile above two lines that name what is true and what was predicted."""
    whole = Image.new("RGB", (tile.width, tile.height + 2 * LINE), PAPER)
    whole.paste(tile)
    pen = ImageDraw.Draw(whole)
    for number, (labels, colour) in enumerate(((true, TRUE), (predicted, PREDICTED))):
        _line(pen, 0, tile.height + number * LINE, ", ".join(dict.fromkeys(labels)) or "nothing", colour, tile.width)
    return whole


def _line(pen: ImageDraw.ImageDraw, x: int, y: int, text: str, colour: tuple[int, int, int], end: int) -> None:
    """One line of text, cut to end before `end`, after an outlined (true) or a filled (predicted) square."""
    font = ImageFont.load_default(size=15)
    square = (x + 4, y + 6, x + 14, y + 16)
    pen.rectangle(square, fill=colour if colour == PREDICTED else None, outline=colour, width=2)
    room = end - x - 24
    while font.getlength(text) > room:
        text = text[:-2].rstrip() + "…"
    pen.text((x + 20, y + 2), text, colour, font)
