"""Pictures for people: grids of gray images, each with its text above or beneath."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, FAINT = 255, 20, 110
MARGIN = 10


@dataclass(frozen=True)
class Cell:
    """Images side by side with one text: uint8 (S, S) each, None where one is missing."""

    images: Sequence[np.ndarray | None]
    text: str = ""


def grid(
    cells: Sequence[Cell],
    *,
    columns: int,
    side: int = 160,
    title: str = "",
    heads: Sequence[str] = (),
    text_above: bool = False,
    lines: int = 4,
) -> Image.Image:
    """Draw cells in rows of `columns`.

    Args:
        cells: what is drawn, row by row.
        columns: cells in a row.
        side: side of an image as it is drawn, in pixels.
        title: a line above all.
        heads: one word above each image of a cell, at the top of each column.
        text_above: the text stands above its images instead of beneath them.
        lines: lines of text at most; what is longer ends in an ellipsis.
    """
    font, small = ImageFont.load_default(size=13), ImageFont.load_default(size=12)
    many = max((len(cell.images) for cell in cells), default=1)
    width = many * side + (many - 1) * 4
    step = 16
    wrapped = [_wrap(cell.text, small, width, lines) for cell in cells]
    rows = [range(start, min(start + columns, len(cells))) for start in range(0, len(cells), columns)]
    heights = [max((len(wrapped[place]) for place in row), default=0) * step for row in rows]
    top = MARGIN + (24 if title else 0) + (20 if heads else 0)
    total = top + sum(side + height + 2 * MARGIN for height in heights)
    sheet = Image.new("L", (MARGIN + min(columns, max(len(cells), 1)) * (width + 2 * MARGIN), total), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), title, INK, font)
    y = top
    for row, height in zip(rows, heights, strict=True):
        for column, place in enumerate(row):
            x = MARGIN + column * (width + 2 * MARGIN)
            text_y = y if text_above else y + side + 4
            image_y = y + height + 2 if text_above else y
            for line, words in enumerate(wrapped[place]):
                pen.text((x, text_y + line * step), words, INK, small)
            for number, pixels in enumerate(cells[place].images):
                left = x + number * (side + 4)
                if heads and y == top:
                    pen.text((left, top - 18), heads[number], FAINT, small)
                _paste(sheet, pen, pixels, left, image_y, side)
        y += side + height + 2 * MARGIN
    return sheet


def _paste(sheet: Image.Image, pen: ImageDraw.ImageDraw, pixels: np.ndarray | None, x: int, y: int, side: int) -> None:
    if pixels is None:
        pen.rectangle((x, y, x + side - 1, y + side - 1), outline=200)
        return
    method = Image.Resampling.BICUBIC if max(pixels.shape) < side else Image.Resampling.LANCZOS
    sheet.paste(Image.fromarray(pixels).resize((side, side), method), (x, y))


def _wrap(text: str, font: ImageFont.ImageFont, width: int, lines: int) -> list[str]:
    """The text in lines no wider than `width` pixels; at most `lines` of them."""
    words, made = text.split(), []
    while words:
        line = words.pop(0)
        while words and font.getlength(f"{line} {words[0]}") <= width:
            line = f"{line} {words.pop(0)}"
        made.append(_cut(line, font, width))
    if len(made) > lines:
        made = [*made[: lines - 1], _cut(made[lines - 1] + " …", font, width)]
    return made


def _cut(line: str, font: ImageFont.ImageFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1].rstrip(" …")
    return line + "…"
