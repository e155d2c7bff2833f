"""A picture for people: a few drawn images, plain and with what is marked in them."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synvlp.corpora.anatomy import Picture, Region
from synvlp.store import files

COUNT = 24
COLUMNS = 6
TILE = 160  # pixels a side
CAPTION = 26
COLOURS = {
    "right_lung": (90, 170, 255),
    "left_lung": (90, 170, 255),
    "cardiomegaly": (255, 110, 110),
    "effusion": (90, 230, 230),
    "opacity": (255, 190, 60),
    "pneumothorax": (200, 130, 255),
    "nodule": (130, 255, 110),
}


@dataclass(frozen=True)
class Example:
    study_id: str
    labels: list[str]
    picture: Picture


def write(examples: list[Example], path: Path) -> None:
    """Write a sheet of examples: above the image alone, below it with outlines and boxes."""
    columns = min(COLUMNS, len(examples))
    rows = -(-len(examples) // columns)
    height = 2 * TILE + CAPTION
    sheet = Image.new("RGB", (columns * (TILE + 4), rows * (height + 4)), (20, 20, 24))
    for index, example in enumerate(examples):
        row, column = divmod(index, columns)
        sheet.paste(_tile(example), (column * (TILE + 4) + 2, row * (height + 4) + 2))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    files.write_bytes(path, buffer.getvalue())


def _tile(example: Example) -> Image.Image:
    gray = Image.fromarray(example.picture.pixels).resize((TILE, TILE), Image.Resampling.BICUBIC).convert("RGB")
    marked = gray.copy()
    for region in example.picture.lungs + example.picture.findings:
        _mark(marked, region, example.picture.pixels.shape[0])
    tile = Image.new("RGB", (TILE, 2 * TILE + CAPTION), (20, 20, 24))
    tile.paste(gray, (0, 0))
    tile.paste(marked, (0, TILE))
    pen, font = ImageDraw.Draw(tile), ImageFont.load_default(9)
    pen.text((2, 2 * TILE + 1), example.study_id, font=font, fill=(150, 150, 160))
    pen.text((2, 2 * TILE + 13), ", ".join(example.labels) or "no finding", font=font, fill=(255, 255, 255))
    return tile


def _mark(tile: Image.Image, region: Region, size: int) -> None:
    """Outline the mask; draw the box of a finding."""
    colour = COLOURS[region.category]
    mask = np.asarray(Image.fromarray(region.mask).resize((TILE, TILE), Image.Resampling.NEAREST))
    inside = mask.copy()
    inside[1:-1, 1:-1] = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    tile.paste(colour, (0, 0), Image.fromarray((mask & ~inside).astype(np.uint8) * 255))
    if not region.category.endswith("_lung"):
        scale = TILE / size
        x, y, width, height = (value * scale for value in region.box)
        ImageDraw.Draw(tile).rectangle([x, y, x + width - 1, y + height - 1], outline=colour)
