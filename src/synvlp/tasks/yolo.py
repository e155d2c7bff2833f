"""YOLOv3 (Redmon and Farhadi, 2018) on an encoder's feature maps: heads, anchors, targets, loss and decoding."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import batched_nms

from synvlp.tasks.matching import Detections, iou

# Anchors of YOLOv3 for COCO at 416 pixels: width, height, small to large; three per level, fine to coarse.
COCO_ANCHORS = np.array(
    [(10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326)], float
)
COCO_SIZE = 416
PER_LEVEL = 3

# Weights of the loss's terms as in the papers' code; a place that holds no object counts half.
CENTRE, SIZE, OBJECT, NO_OBJECT, CLASS = 2.5, 2.5, 1.0, 0.5, 1.0
IGNORE_IOU = 0.5
PRIOR = 0.01  # objectness that an untrained head gives everywhere, so that the many empty places do not rule it
CANDIDATES = 1000  # boxes of an image, by score, that non-maximum suppression looks at
LARGEST = 4.0  # boxes are at most exp(4) anchors wide


class Head(nn.Module):
    """YOLOv3's three detection branches, the coarser ones feeding the finer ones.

    Args:
        channels: of the feature maps, fine to coarse.
        outputs: numbers per anchor: 4 for the box, 1 for objectness, and the classes if there are several.
        width: channels of the coarsest branch; each finer one has half of them.
    """

    def __init__(self, channels: Sequence[int], outputs: int, width: int) -> None:
        super().__init__()
        widths = [max(width >> step, 16) for step in range(len(channels))][::-1]
        self.sets, self.outs, self.lifts = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, (own, inner) in enumerate(zip(channels, widths, strict=True)):
            coarser = level + 1 < len(channels)
            self.sets.append(_five(own + (inner if coarser else 0), inner))
            self.outs.append(nn.Sequential(_conv(inner, 2 * inner, 3), nn.Conv2d(2 * inner, PER_LEVEL * outputs, 1)))
            self.lifts.append(_conv(widths[level + 1], inner, 1) if coarser else nn.Identity())
        for out in self.outs:
            objectness = out[-1].bias.data.view(PER_LEVEL, outputs)[:, 4]
            objectness.fill_(float(np.log(PRIOR / (1 - PRIOR))))
        self.outputs = outputs

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Raw numbers per anchor, float (b, n, outputs), in the order of `Grid`."""
        found, carried = [], None
        for level in reversed(range(len(maps))):
            own = maps[level]
            if carried is not None:
                lifted = functional.interpolate(self.lifts[level](carried), size=own.shape[-2:], mode="nearest")
                own = torch.cat([lifted, own], 1)
            carried = self.sets[level](own)
            raw = self.outs[level](carried)
            shape = (len(raw), PER_LEVEL, self.outputs, -1)
            found.insert(0, raw.reshape(shape).transpose(2, 3).flatten(1, 2))
        return torch.cat(found, 1).float()


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1))


def _five(inputs: int, inner: int) -> nn.Sequential:
    sizes = [(inputs, inner, 1), (inner, 2 * inner, 3), (2 * inner, inner, 1), (inner, 2 * inner, 3)]
    return nn.Sequential(*(_conv(*size) for size in [*sizes, (2 * inner, inner, 1)]))


@dataclass(frozen=True)
class Grid:
    """Where the anchors are: level by level (fine to coarse), anchor by anchor, row by row.

    Attributes:
        cells: float (n, 2), column and row of each anchor's cell.
        strides: float (n,), pixels a cell.
        anchors: float (n, 2), width and height in pixels.
        sides: cells a side, per level.
        size: pixels a side of the image.
    """

    cells: Tensor
    strides: Tensor
    anchors: Tensor
    sides: tuple[int, ...]
    size: int


def grid(sides: Sequence[int], size: int, anchors: np.ndarray, where: torch.device) -> Grid:
    """The grid of feature maps with `sides` cells a side, fine to coarse; `anchors`: (3 × levels, 2) in pixels."""
    cells, strides, shapes = [], [], []
    for level, side in enumerate(sides):
        rows, columns = np.mgrid[:side, :side].reshape(2, -1)
        for anchor in anchors[level * PER_LEVEL : (level + 1) * PER_LEVEL]:
            cells.append(np.stack([columns, rows], 1))
            strides.append(np.full(side * side, size / side))
            shapes.append(np.tile(anchor, (side * side, 1)))
    arrays = (
        torch.tensor(np.concatenate(part), dtype=torch.float32, device=where) for part in (cells, strides, shapes)
    )
    return Grid(*arrays, tuple(sides), size)


def scaled_anchors(levels: int, size: int) -> np.ndarray:
    """YOLOv3's anchors for images of `size` pixels, (3 × levels, 2); with fewer levels the largest ones."""
    return COCO_ANCHORS[-PER_LEVEL * levels :] * size / COCO_SIZE


def clustered_anchors(shapes: np.ndarray, count: int) -> np.ndarray | None:
    """k-means of widths and heights (m, 2) with the distance 1 - IoU (YOLOv2), sorted by area: (count, 2).

    It starts at quantiles of the area, so that it has no randomness. None if there are too few different shapes.
    """
    different = np.unique(shapes, axis=0)
    if len(different) < count:
        return None
    different = different[np.argsort(different.prod(1), kind="stable")]
    centres = different[np.linspace(0, len(different) - 1, count).round().astype(int)].astype(float)
    for _ in range(100):
        nearest = shape_iou(shapes, centres).argmax(1)
        parts = [shapes[nearest == number] for number in range(count)]
        moved = np.array([part.mean(0) if len(part) else old for part, old in zip(parts, centres, strict=True)])
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres[np.argsort(centres.prod(1), kind="stable")]


def shape_iou(shapes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """IoU of widths and heights (m, 2) with anchors (k, 2) laid on one corner: (m, k)."""
    corners = [np.concatenate([np.zeros_like(part), part], 1) for part in (shapes, anchors)]
    return iou(*corners)


@dataclass(frozen=True)
class Targets:
    """What a batch's anchors should say; made anew, never in place of the boxes.

    Attributes:
        image, place: int (k,): the anchors that hold an object, by image and place in the grid.
        offsets: float (k, 2): of the object's centre from its cell's corner, in cells.
        sizes: float (k, 2): log of the object's width and height in anchors.
        labels: int (k,).
        boxes: float (b, m, 4): x, y, width, height in pixels of all objects, filled up with 0.
    """

    image: Tensor
    place: Tensor
    offsets: Tensor
    sizes: Tensor
    labels: Tensor
    boxes: Tensor


def targets(boxes: Sequence[np.ndarray], labels: Sequence[np.ndarray], anchors: np.ndarray, where: Grid) -> Targets:
    """Each object goes to the anchor of the most similar shape, in the cell of its centre.

    Of several objects that fall to one anchor the largest stays.

    Args:
        boxes, labels: per image (m, 4) x, y, width, height in pixels, and int (m,).
        anchors: (3 × levels, 2).
    """
    rows = []
    for image, (own, classes) in enumerate(zip(boxes, labels, strict=True)):
        if not len(own):
            continue
        places, offsets = _places(own, shape_iou(own[:, 2:], anchors).argmax(1), where)
        taken: dict[int, int] = {}
        for number in np.argsort(own[:, 2:].prod(1), kind="stable"):
            taken[int(places[number])] = int(number)
        for place, number in sorted(taken.items()):
            rows.append((image, place, *offsets[number], *own[number, 2:], classes[number]))
    table = np.array(rows, float).reshape(-1, 7)
    padded = np.zeros((len(boxes), max([len(own) for own in boxes] + [1]), 4))
    for image, own in enumerate(boxes):
        padded[image, : len(own)] = own
    device = where.cells.device
    image, place, label = (torch.tensor(table[:, i], dtype=torch.int64, device=device) for i in (0, 1, 6))
    numbers = torch.tensor(table[:, 2:6], dtype=torch.float32, device=device)
    sizes = torch.log(numbers[:, 2:] / where.anchors[place])
    truth = torch.tensor(padded, dtype=torch.float32, device=device)
    return Targets(image, place, numbers[:, :2], sizes, label, truth)


def _places(boxes: np.ndarray, best: np.ndarray, where: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Places in the grid (m,) of boxes with their best anchors, and the centres' offsets in cells (m, 2)."""
    sides = np.array(where.sides)
    starts = np.concatenate([[0], np.cumsum(PER_LEVEL * sides**2)])
    level, anchor = best // PER_LEVEL, best % PER_LEVEL
    side = sides[level]
    centre = (boxes[:, :2] + boxes[:, 2:] / 2) * side[:, None] / where.size
    cell = np.clip(np.floor(centre), 0, side[:, None] - 1).astype(int)
    places = starts[level] + anchor * side**2 + cell[:, 1] * side + cell[:, 0]
    return places, np.clip(centre - cell, 0, 1)


def boxes_of(raw: Tensor, where: Grid) -> Tensor:
    """Boxes x, y, width, height in pixels, (b, n, 4), from a head's raw numbers (b, n, ≥ 4)."""
    centre = (raw[..., :2].sigmoid() + where.cells) * where.strides[:, None]
    size = where.anchors * raw[..., 2:4].clamp(max=LARGEST).exp()
    return torch.cat([centre - size / 2, size], -1)


def loss(raw: Tensor, wanted: Targets, where: Grid) -> Tensor:
    """YOLOv3's loss, summed over an image's anchors and averaged over images.

    2.5 × cross entropy of the centre's offset, 2.5 × squared error of the log size, cross entropy of the
    objectness (anchors without an object count half; those whose box overlaps an object with an IoU over 0.5
    do not count), and with several classes the cross entropy of each class. An image without objects has
    the objectness term alone.

    Args:
        raw: float (b, n, 5 or 5 + classes).
    """
    chosen = raw[wanted.image, wanted.place]
    entropy = functional.binary_cross_entropy_with_logits
    total = CENTRE * entropy(chosen[:, :2], wanted.offsets, reduction="sum")
    total = total + SIZE * (chosen[:, 2:4] - wanted.sizes).square().sum()
    if raw.shape[-1] > 5:
        one_hot = functional.one_hot(wanted.labels, raw.shape[-1] - 5).float()
        total = total + CLASS * entropy(chosen[:, 5:], one_hot, reduction="sum")
    holds = torch.zeros(raw.shape[:2], device=raw.device)
    holds[wanted.image, wanted.place] = 1
    with torch.no_grad():
        near = _overlap(boxes_of(raw, where), wanted.boxes) > IGNORE_IOU
    weight = torch.where(holds > 0, OBJECT, NO_OBJECT * (~near).float())
    total = total + (weight * entropy(raw[..., 4], holds, reduction="none")).sum()
    return total / len(raw)


def _overlap(found: Tensor, true: Tensor) -> Tensor:
    """The highest IoU of boxes (b, n, 4) with any of (b, m, 4), all x, y, width, height: (b, n)."""
    first, second = found[:, :, None], true[:, None]
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    union = first[..., 2:].prod(-1) + second[..., 2:].prod(-1) - common
    return (common / union.clamp(min=1e-9)).amax(-1)


def detect(raw: Tensor, where: Grid, *, confidence: float, nms: float, most: int) -> list[Detections]:
    """What a head found in each image: boxes cut to the image, by falling score.

    The score is the objectness, times the class's probability if there are several classes.

    Args:
        raw: float (b, n, 5 or 5 + classes).
        confidence: boxes with a lower score are dropped; low, since average precision needs the whole curve.
        nms: of two boxes of a class that overlap more than this (IoU) the one with the lower score is dropped.
        most: boxes kept per image.
    """
    corners = boxes_of(raw, where)
    low, high = corners[..., :2].clamp(0, where.size), (corners[..., :2] + corners[..., 2:]).clamp(0, where.size)
    scores = raw[..., 4:5].sigmoid()
    if raw.shape[-1] > 5:
        scores = scores * raw[..., 5:].sigmoid()
    found = []
    for own_low, own_high, own in zip(low, high, scores, strict=True):
        place, label = torch.nonzero((own >= confidence) & ((own_high - own_low).amin(1) > 0)[:, None]).T
        best = own[place, label].argsort(descending=True, stable=True)[:CANDIDATES]
        place, label = place[best], label[best]
        score, edges = own[place, label], torch.cat([own_low, own_high], 1)[place]
        kept = batched_nms(edges, score, label, nms)[:most]
        parts = score[kept], torch.cat([edges[kept, :2], edges[kept, 2:] - edges[kept, :2]], 1), label[kept]
        found.append(Detections(*(part.cpu().numpy() for part in parts)))
    return [Detections(each.scores.astype(float), each.boxes.astype(float), each.labels) for each in found]
