"""Drawing a described chest: attenuation added up along the beam, then exposure, noise and area averaging.

Arrays are float32 (n, n) on a grid of SUPERSAMPLE points per pixel and axis unless said otherwise.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from synvlp.corpora.patients import CENTIMETRES, Anatomy, Finding, Pose, Study

SUPERSAMPLE = 3
EDGE = 0.006  # softness of an outline


@dataclass(frozen=True)
class Region:
    """Something marked in a picture. `mask`: bool (size, size)."""

    category: str
    mask: np.ndarray

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height in pixels: the smallest box that holds the mask."""
        rows, columns = np.nonzero(self.mask)
        x, y = columns.min(), rows.min()
        return float(x), float(y), float(columns.max() - x + 1), float(rows.max() - y + 1)


@dataclass(frozen=True)
class Picture:
    pixels: np.ndarray  # uint8 (size, size)
    lungs: list[Region]
    findings: list[Region]


@dataclass
class Scene:
    """One patient in one pose: coordinates and outlines that the parts of the picture share."""

    anatomy: Anatomy
    pose: Pose
    x: np.ndarray  # from the patient's midline
    y: np.ndarray
    heart: np.ndarray  # signed depth inside the heart
    profile: np.ndarray  # thickness of the heart, 0 to 1
    depth: dict[str, np.ndarray]  # signed depth inside each lung
    outer: dict[str, np.ndarray]  # signed depth below chest wall and apex
    lungs: dict[str, np.ndarray]  # soft masks
    size: int  # of the picture in pixels
    difficulty: float

    def lateral(self, side: str) -> np.ndarray:
        """Distance from the midline, positive on `side`."""
        return -self.x if side == "right" else self.x

    def dome(self, side: str) -> float:
        """Height of the top of a diaphragm."""
        gap = self.anatomy.dome_gap if side == "left" else 0.0
        return (
            self.anatomy.dome + self.pose.inspiration + gap - self.anatomy.raised * (side == self.anatomy.raised_side)
        )

    def point(self, x: float, y: float) -> tuple[float, float]:
        """The grid position of a place in the patient."""
        pose, n = self.pose, self.x.shape[0]
        cos, sin = np.cos(pose.tilt), np.sin(pose.tilt)
        dx, dy = x * pose.scale, (y - 0.5) * pose.scale
        return (
            n * (0.5 + pose.shift[0] + cos * dx - sin * dy),
            n * (0.5 + pose.shift[1] + sin * dx + cos * dy),
        )


def draw(
    anatomy: Anatomy, study: Study, size: int, difficulty: float, noise: float, texture_seed: int, seed: int
) -> Picture:
    """Draw one study.

    Args:
        anatomy: the patient's.
        study: pose, findings and devices.
        size: pixels a side.
        difficulty: 1 as meant; more lowers the findings' contrast and strengthens what distracts from them.
        noise: strength of the grain, 1 as meant.
        texture_seed: seeds the lungs' vessels, which stay the same over a patient's studies.
        seed: seeds the grain and where devices lie.
    """
    scene = _scene(anatomy, study, size, difficulty)
    rng = np.random.default_rng(seed)
    body = _body(scene)
    attenuation = _soft_tissue(scene, body)
    air = _air(scene, np.random.default_rng(texture_seed))
    regions = []
    for finding in study.findings:
        region, air, added = _FINDINGS[finding.label](scene, finding, air)
        regions.append(Region(finding.label, _to_mask(region, size)))
        attenuation += added / max(difficulty, 0.05)
    attenuation -= air
    attenuation += _bones(scene, body)
    attenuation += _devices(scene, study.devices, rng)
    lungs = [Region(f"{side}_lung", _to_mask(scene.lungs[side], size)) for side in ("right", "left")]
    return Picture(_expose(scene, attenuation, noise, rng), lungs, regions)


@functools.lru_cache(maxsize=4)
def _grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    centres = (np.arange(n, dtype=np.float32) + 0.5) / n
    return np.meshgrid(centres, centres)


def _scene(anatomy: Anatomy, study: Study, size: int, difficulty: float) -> Scene:
    pose = study.pose
    x, y = _grid(size * SUPERSAMPLE)
    dx, dy = x - np.float32(0.5 + pose.shift[0]), y - np.float32(0.5 + pose.shift[1])
    cos, sin = np.float32(math.cos(pose.tilt) / pose.scale), np.float32(math.sin(pose.tilt) / pose.scale)
    x, y = cos * dx + sin * dy, cos * dy - sin * dx + np.float32(0.5)
    heart, profile = _heart(anatomy, pose, study.ratio * pose.magnification, x, y)
    scene = Scene(anatomy, pose, x, y, heart, profile, {}, {}, {}, size, difficulty)
    for side in ("right", "left"):
        scene.outer[side], inner = _lung(scene, side)
        scene.depth[side] = np.minimum(np.minimum(scene.outer[side], inner), -heart)
        scene.lungs[side] = _soft(scene.depth[side])
    return scene


def _heart(anatomy: Anatomy, pose: Pose, ratio: float, x: np.ndarray, y: np.ndarray):
    """Signed depth inside the heart, and its thickness: an egg of `ratio` times the thorax's width.

    One third of the width lies on the patient's right, two thirds on the left, where the apex points down.
    """
    extent = ratio * anatomy.half_width
    height = min(anatomy.heart_height * (0.55 + 0.45 * ratio / 0.45), 1.1 * extent)
    bottom = anatomy.dome + pose.inspiration + 0.6 * anatomy.drop
    across = (x - np.float32(0.32 * extent + 0.8 * pose.rotation)) / np.float32(extent)
    down = (y - np.float32(bottom - 0.85 * height)) / np.float32(height)
    down = down - np.float32(0.7 * anatomy.heart_tilt) * across
    down = down * (1 + np.float32(0.22) * across)
    square = across * across + down * down
    radius = np.sqrt(square)
    return (1 - radius) * np.float32(min(height, extent)), np.sqrt(np.clip(1 - square, 0, 1))


def _lung(scene: Scene, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Signed depths inside the lung: from chest wall and apex, from mediastinum and diaphragm."""
    anatomy = scene.anatomy
    lateral = scene.lateral(side)
    dome = scene.dome(side)
    height = np.clip((scene.y - anatomy.apex) / (dome - anatomy.apex), 0, 1.2)
    wall = anatomy.half_width * (1 - anatomy.taper * np.clip(1 - height, 0, 1) ** 2)
    turn = scene.pose.rotation * (1 if side == "left" else -1)
    inner = anatomy.mediastinum * (0.62 + 0.5 * height * height) + turn
    middle = 0.46 * anatomy.half_width
    tip = anatomy.apex + 2.6 * (lateral - 0.62 * middle) ** 2 * (1 + (lateral > 0.62 * middle))
    floor = dome + anatomy.drop * ((lateral - middle) / (anatomy.half_width - middle)) ** 2 * np.where(
        lateral > middle, 1.0, 0.5
    )
    return np.minimum(wall - lateral, scene.y - tip), np.minimum(lateral - inner, floor - scene.y)


def _soft(depth: np.ndarray, edge: float = EDGE) -> np.ndarray:
    """1 inside, 0 outside, 0.5 on the outline."""
    return 0.5 + 0.5 * np.tanh(depth * np.float32(0.5 / edge))


def _body(scene: Scene) -> np.ndarray:
    anatomy = scene.anatomy
    shoulder = np.clip((scene.y - 0.02) / 0.14, 0, 1)
    width = 0.13 + (anatomy.half_width + anatomy.wall - 0.10) * np.sqrt(shoulder)
    width = width + 0.08 * np.clip((0.45 - scene.y) / 0.3, 0, 1) * shoulder
    return _soft(width - np.abs(scene.x), 0.012)


def _soft_tissue(scene: Scene, body: np.ndarray) -> np.ndarray:
    """Attenuation of the body without its bones, as if the lungs were not aerated."""
    anatomy, x, y = scene.anatomy, scene.x, scene.y
    middle = scene.pose.rotation + anatomy.spine_bend * np.sin(6 * y)
    down = np.clip((y - anatomy.apex) / 0.65, 0, 1)
    mediastinum = _plateau((x - middle) / (anatomy.mediastinum * (0.85 + 0.5 * down)))
    total = body * (0.60 + 0.06 * y)
    total += 0.17 * mediastinum + (0.05 + 0.25 * scene.profile) * _soft(scene.heart, 0.012)
    knob = np.hypot(x - middle - anatomy.mediastinum, y - anatomy.apex - 0.2) - anatomy.knob
    total += 0.13 * _soft(-knob, 0.008)
    trachea = np.exp(-(((x - middle) / 0.022) ** 2)) * _soft(anatomy.apex + 0.22 - y, 0.03)
    total -= 0.14 * trachea
    for side in ("right", "left"):
        lateral = scene.lateral(side)
        below = _soft(y - scene.dome(side) - anatomy.drop * 0.3, 0.02)
        total += 0.2 * below * body * (lateral > 0)
        hilum = np.hypot((lateral - anatomy.mediastinum - 0.035) / 0.045, (y - 0.42) / 0.075)
        total += 0.11 * anatomy.hilum * np.exp(-(hilum**2))
        fold = np.hypot((lateral - 0.6 * anatomy.half_width) / 0.17, (y - anatomy.breast_height) / 0.13)
        total += anatomy.breast * _soft((1 - fold) * 0.13, 0.012) * (0.6 + 0.4 * np.clip(fold, 0, 1))
        pad = np.hypot((lateral - 0.13 - 0.05 * (side == "left")) / 0.09, (y - scene.dome(side) - 0.01) / 0.07)
        total += anatomy.fat_pad * np.exp(-(pad**2))
    bubble = np.hypot((x - 0.2) / 0.09, (y - scene.dome("left") - 0.09) / 0.04)
    return total - anatomy.stomach * _soft((1 - bubble) * 0.04, 0.01)


def _air(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """What aeration takes away from the attenuation, with vessels left in."""
    n = scene.x.shape[0]
    field = sum(_noise(rng, cells, n) * weight for cells, weight in ((5, 0.5), (11, 0.35), (22, 0.3)))
    vessels = np.zeros((n, n), np.float32)
    canvas = Image.new("L", (n, n))
    pen = ImageDraw.Draw(canvas)
    for side in (-1, 1):
        for _ in range(7):
            angle, length = rng.uniform(-1.3, 1.4), rng.uniform(0.12, 0.25)
            start = (side * 0.1, 0.43)
            bend = rng.normal(0, 0.04)
            end = (side * (0.1 + length * np.cos(angle)), 0.43 + length * np.sin(angle))
            half = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + bend)
            pen.line([scene.point(*at) for at in (start, half, end)], fill=255, width=max(1, n // 110))
    vessels = np.asarray(canvas.filter(ImageFilter.GaussianBlur(n / 200)), np.float32) / 255
    turn = scene.pose.rotation
    total = np.zeros((n, n), np.float32)
    for side in ("right", "left"):
        aeration = 0.47 + 1.2 * (turn if side == "left" else -turn)
        total += scene.lungs[side] * aeration
    return total * (1 - scene.anatomy.texture * (0.10 * field + 0.16 * vessels))


def _noise(rng: np.random.Generator, cells: int, n: int) -> np.ndarray:
    """A smooth random field of unit variance on a grid of `cells`."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((n, n), Image.Resampling.BICUBIC))


def _bones(scene: Scene, body: np.ndarray) -> np.ndarray:
    anatomy, x, y = scene.anatomy, scene.x, scene.y
    away = np.abs(x)
    share = np.clip(away / anatomy.half_width, 0, 1.1)
    inside = _soft(anatomy.half_width + 0.5 * anatomy.wall - away, 0.01) * _soft(anatomy.dome + 0.12 - y, 0.03)
    inside = inside * _soft(y - anatomy.apex + 0.05 - 0.2 * (share - 0.6) ** 2, 0.01)
    total = anatomy.rib_density * _stripes(y - 0.13 * share**2 + 0.05 * share, anatomy, 0.0, 0.30) * inside
    front = _stripes(y - 0.22 * (1 - share), anatomy, 0.5, 0.26) * (share > 0.3)
    total += 0.55 * anatomy.rib_density * front * inside
    middle = x - scene.pose.rotation * 0.5 - anatomy.spine_bend * np.sin(6 * y)
    discs = 0.75 + 0.25 * np.sin(2 * np.pi * y / 0.055)
    total += 0.08 * _plateau(middle / 0.04) * discs * body
    bar = y - anatomy.clavicle + 0.16 * away - 0.5 * (away - 0.2) ** 2
    ends = _soft(away - 0.035, 0.01) * _soft(0.34 - away, 0.02)
    total += 0.15 * np.exp(-((bar / 0.014) ** 2)) * ends
    blade = away - 0.8 * anatomy.half_width - 0.35 * (0.34 - y)
    return total + anatomy.scapula * _soft(blade, 0.006) * _soft(0.1 - np.abs(y - 0.27), 0.02) * body


def _stripes(y: np.ndarray, anatomy: Anatomy, shift: float, width: float) -> np.ndarray:
    """Ribs: bands at equal distances, `width` of the distance thick."""
    phase = (y - anatomy.rib_start) / np.float32(anatomy.rib_spacing) + np.float32(shift)
    return _plateau((phase - np.round(phase)) * np.float32(2 / width))


def _plateau(distance: np.ndarray) -> np.ndarray:
    """1 around 0, falling to 1 / e at ±1: exp(-distance^4)."""
    square = distance * distance
    return np.exp(-square * square)


def _place(scene: Scene, finding: Finding, rng: np.random.Generator) -> tuple[float, float]:
    """A place in the finding's zone and inside the lung: (distance from the midline, y)."""
    anatomy = scene.anatomy
    third = (scene.dome(finding.side) - anatomy.apex) / 3
    top = anatomy.apex + third * ("upper", "middle", "lower").index(finding.zone)
    sign = -1 if finding.side == "right" else 1
    places = zip(rng.uniform(0.08, 0.95 * anatomy.half_width, 40), rng.uniform(0.3, 0.7, 40), strict=True)
    found = []
    for across, share in places:
        place = float(across), float(top + share * third)
        column, row = (min(max(int(at), 0), scene.x.shape[0] - 1) for at in scene.point(sign * place[0], place[1]))
        depth = float(scene.depth[finding.side][row, column])
        if depth > 0.035:
            return place
        found.append((depth, place))
    return max(found)[1]


def _cardiomegaly(scene: Scene, finding: Finding, air: np.ndarray):
    """The heart was drawn at its size already."""
    return _soft(scene.heart), air, 0.0


def _effusion(scene: Scene, finding: Finding, air: np.ndarray):
    """Fluid from the base up, higher along the wall."""
    anatomy = scene.anatomy
    rng = np.random.default_rng(finding.shape)
    base = scene.dome(finding.side) + 0.75 * anatomy.drop
    lateral = np.clip(scene.lateral(finding.side) / anatomy.half_width, 0, 1.1)
    height = finding.extent * (base - anatomy.apex)
    level = base - height * (0.45 + 0.55 * lateral ** rng.uniform(1.5, 2.5))
    fluid = scene.lungs[finding.side] * _soft(scene.y - level, 0.02)
    region = scene.lungs[finding.side] * _soft(scene.y - level)
    return region, air * (1 - min(1.0, rng.uniform(0.35, 0.7) / max(scene.difficulty, 0.7)) * fluid), 0.03 * fluid


def _opacity(scene: Scene, finding: Finding, air: np.ndarray):
    """Overlapping patches with ragged borders."""
    rng = np.random.default_rng(finding.shape)
    across, down = _place(scene, finding, rng)
    lateral = scene.lateral(finding.side)
    field = np.zeros_like(lateral)
    for _ in range(4):
        angle, way = rng.uniform(0, 2 * np.pi), 0.55 * finding.extent * rng.uniform(0.3, 1.0)
        radius = finding.extent * rng.uniform(0.5, 0.8)
        dx = (lateral - across - way * np.cos(angle)) / radius
        dy = (scene.y - down - way * np.sin(angle)) / (0.8 * radius)
        field = np.maximum(field, np.exp(-(dx**2 + dy**2)))
    ragged = _noise(rng, 14, lateral.shape[0])
    field = np.clip(field * (1 + 0.25 * ragged), 0, 1) * scene.lungs[finding.side]
    strength = (0.58, 0.70, 0.82)[finding.severity] * rng.uniform(0.85, 1.15) / max(scene.difficulty, 0.5)
    return np.where(field > 0.4 * field.max(), 1.0, 0.0), air * (1 - np.clip(strength, 0, 1) * field), 0.0


def _pneumothorax(scene: Scene, finding: Finding, air: np.ndarray):
    """Air between chest wall and lung, widest at the apex: darker, without vessels, with a thin line."""
    side = finding.side
    height = (scene.y - scene.anatomy.apex) / (scene.dome(side) - scene.anatomy.apex)
    rim = finding.extent * (1.5 - 1.45 * np.clip(height, 0, 1))
    inner = scene.outer[side] - rim
    free = scene.lungs[side] * _soft(-inner)
    line = np.exp(-((inner / 0.006) ** 2)) * scene.lungs[side]
    collapse = 1 - (0.05 + 0.12 * finding.severity) * scene.lungs[side] * (1 - free)
    return free, air * (1 - free) * collapse + (air + 0.05) * free, 0.06 * line


def _nodule(scene: Scene, finding: Finding, air: np.ndarray):
    rng = np.random.default_rng(finding.shape)
    across, down = _place(scene, finding, rng)
    radius = 0.5 * finding.extent / CENTIMETRES
    distance = np.hypot(scene.lateral(finding.side) - across, (scene.y - down) * rng.uniform(0.9, 1.1))
    ball = _soft(radius - distance, 0.004)
    return ball, air, 0.5 * rng.uniform(0.85, 1.15) * ball


_FINDINGS = {
    "cardiomegaly": _cardiomegaly,
    "effusion": _effusion,
    "opacity": _opacity,
    "pneumothorax": _pneumothorax,
    "nodule": _nodule,
}


def _devices(scene: Scene, devices: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Attenuation of what is not the patient's, and of harmless shadows."""
    n = scene.x.shape[0]
    total = np.zeros((n, n), np.float32)
    for name in devices:
        canvas = Image.new("L", (n, n))
        density = _DEVICES[name](ImageDraw.Draw(canvas), scene, rng)
        drawn = canvas.filter(ImageFilter.GaussianBlur(n / 300))
        total += np.asarray(drawn, np.float32) * np.float32(density * max(scene.difficulty, 0.3) ** 0.5 / 255)
    return total


def _curve(pen: ImageDraw.ImageDraw, scene: Scene, places: list[tuple[float, float]], width: float = 0.008):
    """A smooth line through places in the patient."""
    t = np.linspace(0, len(places) - 1, 8 * len(places))
    across, down = (np.interp(t, range(len(places)), axis) for axis in zip(*places, strict=True))
    smooth = np.ones(5) / 5
    across[2:-2], down[2:-2] = np.convolve(across, smooth, "valid"), np.convolve(down, smooth, "valid")
    points = [scene.point(*place) for place in zip(across, down, strict=True)]
    pen.line(points, fill=255, width=max(1, round(width * scene.x.shape[0])), joint="curve")


def _disc(pen: ImageDraw.ImageDraw, scene: Scene, x: float, y: float, radius: float) -> None:
    at, reach = scene.point(x, y), radius * scene.x.shape[0]
    pen.ellipse([at[0] - reach, at[1] - reach, at[0] + reach, at[1] + reach], fill=255)


def _leads(pen, scene: Scene, rng: np.random.Generator) -> float:
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(-0.34, 0.34), rng.uniform(0.2, 0.75)
        _disc(pen, scene, x, y, rng.uniform(0.012, 0.018))
        _curve(pen, scene, [(x, y), (x + rng.normal(0, 0.1), y + 0.2), (rng.uniform(-0.3, 0.3), 1.05)], 0.006)
    return float(rng.uniform(0.12, 0.3))


def _pacemaker(pen, scene: Scene, rng: np.random.Generator) -> float:
    x, y = scene.anatomy.half_width * 0.62, scene.anatomy.clavicle + 0.12
    corners = [(x - 0.05, y - 0.035), (x + 0.04, y - 0.04), (x + 0.05, y + 0.035), (x - 0.04, y + 0.045)]
    pen.polygon([scene.point(*corner) for corner in corners], fill=255)
    low = scene.dome("left")
    _curve(pen, scene, [(x - 0.04, y), (0.05, 0.22), (-0.04, 0.4), (-0.05, low - 0.12)], 0.007)
    _curve(pen, scene, [(x - 0.04, y + 0.02), (0.04, 0.24), (-0.02, 0.45), (0.12, low - 0.02)], 0.007)
    return 0.65


def _endotracheal(pen, scene: Scene, rng: np.random.Generator) -> float:
    _curve(pen, scene, [(0.01, -0.05), (0.0, 0.12), (0.0, rng.uniform(0.24, 0.31))], 0.016)
    return 0.12


def _feeding(pen, scene: Scene, rng: np.random.Generator) -> float:
    low = scene.dome("left")
    _curve(pen, scene, [(0.01, -0.05), (0.015, 0.35), (0.02, low), (0.1, low + 0.1), (0.2, low + 0.12)], 0.011)
    return 0.22


def _central(pen, scene: Scene, rng: np.random.Generator) -> float:
    start = [(-0.12, -0.05), (-0.07, 0.1)] if rng.random() < 0.5 else [(-0.3, 0.2), (-0.12, 0.15)]
    _curve(pen, scene, [*start, (-0.05, 0.25), (-0.05, rng.uniform(0.36, 0.46))], 0.009)
    return 0.2


def _fold(pen, scene: Scene, rng: np.random.Generator) -> float:
    """A fold of skin: a long faint line beside the chest wall, like the line of a pneumothorax."""
    side, x = (-1 if rng.random() < 0.5 else 1), scene.anatomy.half_width * rng.uniform(0.6, 0.85)
    bend = rng.uniform(-0.05, 0.05)
    _curve(pen, scene, [(side * (x - 0.05), 0.15), (side * (x + bend), 0.45), (side * x, 0.8)], 0.006)
    return 0.1


def _scar(pen, scene: Scene, rng: np.random.Generator) -> float:
    side, x, y = (-1 if rng.random() < 0.5 else 1), rng.uniform(0.12, 0.2), rng.uniform(0.5, 0.68)
    _curve(pen, scene, [(side * x, y), (side * (x + 0.06), y + 0.01), (side * (x + 0.13), y - 0.01)], 0.012)
    return 0.13


def _granuloma(pen, scene: Scene, rng: np.random.Generator) -> float:
    """A calcified speck: smaller and denser than a nodule."""
    side = -1 if rng.random() < 0.5 else 1
    _disc(pen, scene, side * rng.uniform(0.13, 0.27), rng.uniform(0.25, 0.62), 0.009)
    return 0.4


def _nipples(pen, scene: Scene, rng: np.random.Generator) -> float:
    height = scene.anatomy.breast_height + 0.06
    for side in (-1, 1):
        _disc(pen, scene, side * 0.62 * scene.anatomy.half_width, height, 0.016)
    return 0.12


_DEVICES = {
    "leads": _leads,
    "pacemaker": _pacemaker,
    "endotracheal tube": _endotracheal,
    "feeding tube": _feeding,
    "central line": _central,
    "skin fold": _fold,
    "scar": _scar,
    "granuloma": _granuloma,
    "nipple shadows": _nipples,
}


def _expose(scene: Scene, attenuation: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Gray levels of a film: uint8 (size, size), bright where much was absorbed."""
    pose, size = scene.pose, scene.size
    value = 1 - np.exp(-1.55 * pose.gain * np.clip(attenuation, 0, None))
    value = _average(value, size)
    if pose.blur > 0.5:
        value = _mix(value, 0.35 * (pose.blur - 0.5))
    grain = rng.standard_normal((size, size)) * 0.016 + _noise(rng, max(2, size // 3), size) * 0.010
    value = value**pose.gamma * (1 - pose.lift) + pose.lift
    slope = rng.normal(0, 0.05, 2)
    x, y = _grid(size)
    value = value * (1 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5))
    value = value + grain * noise * pose.noise * (0.6 + 0.6 * value)
    return np.clip(np.round(value * 255), 0, 255).astype(np.uint8)


def _average(values: np.ndarray, size: int) -> np.ndarray:
    """Area average: (size * SUPERSAMPLE,) * 2 to (size, size)."""
    return values.reshape(size, SUPERSAMPLE, size, SUPERSAMPLE).mean((1, 3))


def _mix(values: np.ndarray, share: float) -> np.ndarray:
    """Each pixel gives `share` to its four neighbours."""
    padded = np.pad(values, 1, mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return (1 - share) * values + share / 4 * around


def _to_mask(region: np.ndarray, size: int) -> np.ndarray:
    """bool (size, size): pixels that are covered by half; at least the one that is covered most."""
    covered = _average(region, size)
    return covered >= min(0.5, covered.max())
