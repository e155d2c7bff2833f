"""Ways in which an image of a corpus can be spoilt: each a function of pixels and random numbers.

`LEARNED` can be made from any image of the corpus, so that a network can learn to tell them without a label.
`FOREIGN` are drawn: no network learns from them, and they measure what it makes of images it never saw the like of.
All take and give uint8 (S, S) of any side from 32 on; how strong a corruption is, is drawn as well.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from synvlp.store import images

Random = np.random.Generator
Way = Callable[[np.ndarray, Random], np.ndarray]


def blank(pixels: np.ndarray, random: Random) -> np.ndarray:
    """One gray level with at most a breath of noise: an exposure that failed, or a file without its content."""
    level, grain = random.uniform(0, 255), random.uniform(0, 3)
    return _to_bytes(level + grain * random.standard_normal(pixels.shape))


def saturated(pixels: np.ndarray, random: Random) -> np.ndarray:
    """Over- or underexposed: the brightest or darkest 45 to 80 % of the image are white or black."""
    share = random.uniform(0.45, 0.8)
    values = pixels.astype(np.float64)
    if random.random() < 0.5:
        cut = max(np.quantile(values, 1 - share), 1.0)
        return _to_bytes(values * 255 / cut)
    cut = min(np.quantile(values, share), 254.0)
    return _to_bytes((values - cut) * 255 / (255 - cut))


def inverted(pixels: np.ndarray, random: Random) -> np.ndarray:
    """Black for white: the photometric interpretation was ignored."""
    return 255 - pixels


def rotated(pixels: np.ndarray, random: Random) -> np.ndarray:
    """Lying on a side, or upside down."""
    return np.ascontiguousarray(np.rot90(pixels, random.integers(1, 4)))


def tilted(pixels: np.ndarray, random: Random) -> np.ndarray:
    """Turned by 15 to 75 degrees either way; what is uncovered is black or of the border's mean gray."""
    angle = random.uniform(15, 75) * random.choice([-1, 1])
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    fill = int(random.choice([0, round(float(border.mean()))]))
    return np.asarray(Image.fromarray(pixels).rotate(angle, Image.Resampling.BILINEAR, fillcolor=fill))


def mirrored(pixels: np.ndarray, random: Random) -> np.ndarray:
    """Left for right."""
    return np.ascontiguousarray(pixels[:, ::-1])


def cropped(pixels: np.ndarray, random: Random) -> np.ndarray:
    """Only a part of the chest, 40 to 65 % of the side, enlarged to the whole."""
    side = len(pixels)
    part = int(side * random.uniform(0.4, 0.65))
    top, left = random.integers(0, side - part + 1, 2)
    return images.resize(pixels[top : top + part, left : left + part], side)


def noisy(pixels: np.ndarray, random: Random) -> np.ndarray:
    """Grain of 25 to 60 gray levels, or 5 to 15 % of the pixels black or white."""
    if random.random() < 0.5:
        return _to_bytes(pixels + random.uniform(25, 60) * random.standard_normal(pixels.shape))
    chance, made = random.random(pixels.shape), pixels.copy()
    share = random.uniform(0.05, 0.15)
    made[chance < share / 2] = 0
    made[chance > 1 - share / 2] = 255
    return made


def blurred(pixels: np.ndarray, random: Random) -> np.ndarray:
    """A Gaussian blur with a deviation of 2.5 to 5 % of the side: breathing, or a thumbnail that was enlarged."""
    radius = len(pixels) * random.uniform(0.025, 0.05)
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def overlaid(pixels: np.ndarray, random: Random) -> np.ndarray:
    """Two to five opaque fields with lines of writing, and straight lines: a screenshot, a scanned film with labels."""
    side = len(pixels)
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    for _ in range(random.integers(2, 6)):
        width, height = random.uniform(0.25, 0.5) * side, random.uniform(0.1, 0.25) * side
        x, y = random.uniform(0, side - width), random.uniform(0, side - height)
        ground = int(random.choice([0, 255]))
        pen.rectangle((x, y, x + width, y + height), fill=ground)
        _writing(pen, (x, y, width, height), 255 - ground, side, random)
    for _ in range(random.integers(1, 4)):
        ends = random.uniform(0, side, 4)
        pen.line(tuple(ends), fill=255, width=max(side // 64, 1))
    return np.asarray(image)


def scrambled(pixels: np.ndarray, random: Random) -> np.ndarray:
    """The image's own tiles, 2 × 2 to 4 × 4, in another order: the corpus's texture without its anatomy."""
    side, count = len(pixels), int(random.integers(2, 5))
    tile = side // count
    order = random.permutation(count**2)
    if (order == np.arange(count**2)).all():
        order = order[::-1]
    made = pixels.copy()
    for place, source in enumerate(order):
        y, x = tile * (place // count), tile * (place % count)
        v, u = tile * (source // count), tile * (source % count)
        made[y : y + tile, x : x + tile] = pixels[v : v + tile, u : u + tile]
    return made


def wrong_view(pixels: np.ndarray, random: Random) -> np.ndarray:
    """A drawn lateral radiograph: spine behind, sternum in front, a heart and two domes between."""
    side = len(pixels)
    pen, image = _sheet(side, 25)

    def oval(x: float, y: float, wide: float, high: float, level: int) -> None:
        x, y = x + random.uniform(-0.03, 0.03), y + random.uniform(-0.03, 0.03)
        pen.ellipse([side * value for value in (x - wide, y - high, x + wide, y + high)], fill=level)

    oval(0.5, 0.55, 0.36, 0.52, 140)
    oval(0.52, 0.5, 0.27, 0.38, 65)
    oval(0.38, 0.58, 0.13, 0.15, 165)
    oval(0.45, 0.95, 0.3, 0.17, 185)
    for level in range(9):
        oval(0.8 - 0.02 * abs(level - 4), 0.1 + 0.1 * level, 0.06, 0.045, 200)
    pen.line([side * value for value in (0.2, 0.2, 0.14, 0.75)], fill=170, width=max(side // 24, 1))
    turned = image if random.random() < 0.5 else image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _as_film(turned, random)


def not_chest(pixels: np.ndarray, random: Random) -> np.ndarray:
    """A drawn hand, page of writing, or skull."""
    draw = (_hand, _page, _skull)[random.integers(3)]
    return draw(len(pixels), random)


LEARNED: dict[str, Way] = {
    "blank": blank,
    "saturated": saturated,
    "inverted": inverted,
    "rotated": rotated,
    "tilted": tilted,
    "mirrored": mirrored,
    "cropped": cropped,
    "noisy": noisy,
    "blurred": blurred,
    "overlaid": overlaid,
    "scrambled": scrambled,
}
FOREIGN: dict[str, Way] = {"wrong-view": wrong_view, "not-chest": not_chest}
WAYS: dict[str, Way] = {**LEARNED, **FOREIGN}


def _hand(side: int, random: Random) -> np.ndarray:
    pen, image = _sheet(side, 15)
    lean = random.uniform(-0.05, 0.05)
    wide = max(round(side * 0.07), 2)
    for finger in range(5):
        x, top = 0.28 + 0.11 * finger, (0.3, 0.12, 0.08, 0.12, 0.22)[finger] + random.uniform(-0.03, 0.03)
        spread = 0.06 * (finger - 2) + lean
        foot, tip = (side * x, side * 0.6), (side * (x + spread), side * top)
        pen.line((*foot, *tip), fill=95, width=2 * wide)
        pen.line((*foot, *tip), fill=205, width=wide)
    pen.ellipse([side * value for value in (0.22, 0.48, 0.78, 0.85)], fill=150)
    pen.rectangle([side * value for value in (0.38, 0.8, 0.48, 1.0)], fill=205)
    pen.rectangle([side * value for value in (0.54, 0.8, 0.62, 1.0)], fill=205)
    return _as_film(image, random)


def _page(side: int, random: Random) -> np.ndarray:
    pen, image = _sheet(side, int(random.choice([10, 245])))
    ink = 255 - image.getpixel((0, 0))
    _writing(pen, (0.05 * side, 0.05 * side, 0.9 * side, 0.9 * side), ink, side, random)
    return np.asarray(image)


def _skull(side: int, random: Random) -> np.ndarray:
    pen, image = _sheet(side, 10)
    for box, level in (
        ((0.14, 0.05, 0.86, 0.8), 215),
        ((0.18, 0.09, 0.82, 0.76), 130),
        ((0.27, 0.42, 0.45, 0.56), 45),
        ((0.55, 0.42, 0.73, 0.56), 45),
        ((0.45, 0.55, 0.55, 0.7), 70),
        ((0.3, 0.68, 0.7, 0.97), 185),
    ):
        pen.ellipse([side * (value + random.uniform(-0.02, 0.02)) for value in box], fill=level)
    return _as_film(image, random)


def _sheet(side: int, level: int) -> tuple[ImageDraw.ImageDraw, Image.Image]:
    image = Image.new("L", (side, side), level)
    return ImageDraw.Draw(image), image


def _writing(pen: ImageDraw.ImageDraw, box: tuple, ink: int, side: int, random: Random) -> None:
    """Lines of strokes like words within a box (x, y, width, height)."""
    x, y, width, height = box
    step = max(side / 20, 3)
    line = y + step / 2
    while line < y + height - step / 3:
        place = x + step / 2
        while (end := place + random.uniform(1, 4) * step) < x + width - step / 3:
            pen.line((place, line, end, line), fill=ink, width=max(round(step / 3), 1))
            place = end + step / 2
        line += step


def _as_film(image: Image.Image, random: Random) -> np.ndarray:
    """Soft edges and grain, so that a drawing is not told by its flat areas."""
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(len(np.asarray(image)) / 50)), np.float64)
    return _to_bytes(soft * random.uniform(0.8, 1.1) + random.uniform(3, 8) * random.standard_normal(soft.shape))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
