import numpy as np
import pytest
import torch

from synvlp.tasks import matching, yolo

WHERE = torch.device("cpu")
SIDES, SIZE = [8, 4, 2], 64


def layout(classes: int = 0):
    anchors = yolo.scaled_anchors(3, SIZE)
    return anchors, yolo.grid(SIDES, SIZE, anchors, WHERE), 5 + classes


def boxes_in(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = rng.uniform(4, 30, (count, 2))
    return np.concatenate([rng.uniform(0, SIZE - size), size], 1)


def perfect(wanted: yolo.Targets, images: int, outputs: int) -> torch.Tensor:
    """Raw numbers that say exactly what the targets want."""
    raw = torch.zeros(images, 3 * sum(side**2 for side in SIDES), outputs)
    raw[..., 4] = -30
    raw[wanted.image, wanted.place, :2] = torch.logit(wanted.offsets.clamp(1e-4, 1 - 1e-4))
    raw[wanted.image, wanted.place, 2:4] = wanted.sizes
    raw[wanted.image, wanted.place, 4] = 30
    if outputs > 5:
        raw[..., 5:] = -30
        raw[wanted.image, wanted.place, 5 + wanted.labels] = 30
    return raw


@pytest.mark.parametrize("classes", [0, 3])
def test_targets_decode_to_the_boxes_they_were_made_from(classes):
    anchors, grid, outputs = layout(classes)
    boxes = [boxes_in(3, 1), np.zeros((0, 4)), boxes_in(1, 2)]
    labels = [np.array([0, 2, 1]) if classes else np.zeros(3, int), np.zeros(0, int), np.zeros(1, int)]
    wanted = yolo.targets(boxes, labels, anchors, grid)
    found = yolo.detect(perfect(wanted, 3, outputs), grid, confidence=0.5, nms=0.9, most=100)
    assert [len(own.scores) for own in found] == [3, 0, 1]
    for own, true, classes_ in zip(found, boxes, labels, strict=True):
        overlap = matching.iou(own.boxes, true)
        assert (overlap.max(1, initial=0) > 0.98).all()
        assert (own.labels == classes_[overlap.argmax(1)]).all() if len(true) else True
    assert matching.match_all(found, boxes, labels, max(classes, 1)).precision()[0] == pytest.approx(1.0)


def test_perfect_numbers_have_almost_no_loss_and_each_error_adds():
    anchors, grid, _ = layout(2)
    boxes, labels = [boxes_in(2, 4)], [np.array([0, 1])]
    wanted = yolo.targets(boxes, labels, anchors, grid)
    raw = perfect(wanted, 1, 7)
    offsets = wanted.offsets
    least = yolo.CENTRE * torch.nn.functional.binary_cross_entropy(offsets, offsets, reduction="sum")
    assert yolo.loss(raw, wanted, grid).item() == pytest.approx(least.item(), abs=0.01)
    place = wanted.place[0]
    for column, change, cost in ((2, 1.0, yolo.SIZE), (4, -60.0, 30.0), (5 + int(wanted.labels[0]), -60.0, 30.0)):
        wrong = raw.clone()
        wrong[0, place, column] += change
        assert (yolo.loss(wrong, wanted, grid) - yolo.loss(raw, wanted, grid)).item() == pytest.approx(cost, rel=0.01)


def test_places_that_overlap_an_object_are_ignored_and_the_others_count_half():
    anchors, grid, _ = layout()
    box = np.array([[20.0, 20.0, *anchors[4]]])
    wanted = yolo.targets([box], [np.zeros(1, int)], anchors, grid)
    raw = perfect(wanted, 1, 5)
    # The next anchor in the object's cell, its box changed into the object's.
    near, far = int(wanted.place[0]) + SIDES[1] ** 2, 0
    raw[0, near, :2] = raw[0, wanted.place[0], :2]
    raw[0, near, 2:4] = torch.tensor(np.log(anchors[4] / anchors[5]))
    base = yolo.loss(raw, wanted, grid).item()
    for place, cost in ((near, 0.0), (far, yolo.NO_OBJECT * 10.0)):
        alarm = raw.clone()
        alarm[0, place, 4] = 10
        assert yolo.loss(alarm, wanted, grid).item() - base == pytest.approx(cost, abs=0.01)


def test_images_without_objects_are_trained_on():
    anchors, grid, _ = layout()
    wanted = yolo.targets([np.zeros((0, 4))] * 2, [np.zeros(0, int)] * 2, anchors, grid)
    raw = torch.zeros(2, 252, 5, requires_grad=True)
    value = yolo.loss(raw, wanted, grid)
    value.backward()
    assert value.item() == pytest.approx(252 * 0.5 * np.log(2), rel=1e-5)
    assert (raw.grad[..., 4] > 0).all() and (raw.grad[..., :4] == 0).all()


def test_targets_leave_the_boxes_alone():
    anchors, grid, _ = layout()
    boxes = [boxes_in(4, 6)]
    before = boxes[0].copy()
    first = yolo.targets(boxes, [np.zeros(4, int)], anchors, grid)
    second = yolo.targets(boxes, [np.zeros(4, int)], anchors, grid)
    assert np.array_equal(boxes[0], before)
    assert torch.equal(first.offsets, second.offsets) and torch.equal(first.sizes, second.sizes)


def test_of_two_objects_at_one_anchor_the_larger_stays():
    anchors, grid, _ = layout()
    width, height = anchors[4]
    boxes = [np.array([[20, 20, width, height], [20.2, 20.2, width * 1.05, height]])]
    wanted = yolo.targets(boxes, [np.array([0, 1])], anchors, grid)
    assert wanted.labels.tolist() == [1] and wanted.boxes.shape == (1, 2, 4)


def test_head_gives_one_row_per_anchor_in_the_grids_order():
    torch.manual_seed(0)
    head = yolo.Head([6, 7, 8], 5, 64).eval()
    maps = [torch.randn(2, channels, side, side) for channels, side in zip((6, 7, 8), SIDES, strict=True)]
    _, grid, _ = layout()
    raw = head(maps)
    assert raw.shape == (2, 252, 5) and len(grid.cells) == 252
    assert raw[..., 4].sigmoid().mean().item() == pytest.approx(yolo.PRIOR, rel=0.5)
    # Only a level's own last convolution is changed: then only its rows change.
    head.outs[1][-1].bias.data += 1
    moved = (head(maps) - raw).abs().amax((0, 2)) > 0.5
    assert moved.tolist() == [False] * 192 + [True] * 48 + [False] * 12


def test_rows_of_the_head_are_where_the_grid_says():
    """A map that is hot in one cell moves the row of that cell, for every anchor."""
    head = yolo.Head([4], 5, 32).eval()
    cold, hot = torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)
    hot[0, :, 6, 1] = 50.0
    change = (head([hot]) - head([cold])).abs().sum(-1)[0].view(3, 8, 8)
    grid = yolo.grid([8], SIZE, yolo.scaled_anchors(1, SIZE), WHERE)
    best = change.flatten(1).argmax(1) + torch.arange(3) * 64
    assert (grid.cells[best] - torch.tensor([1.0, 6.0])).abs().max() <= 1


def test_nms_is_per_class_and_boxes_stay_in_the_image():
    _, grid, _ = layout(2)
    raw = torch.full((1, 252, 7), -30.0)
    raw[0, :, :4] = 0
    # Two anchors of one cell at the corner, both of class 0; the same place for class 1.
    raw[0, 0, 4:6], raw[0, 0, 6] = 5.0, 4.0
    found = yolo.detect(raw, grid, confidence=0.1, nms=0.5, most=10)[0]
    assert sorted(found.labels.tolist()) == [0, 1] and (np.diff(found.scores) <= 0).all()
    assert (found.boxes[:, :2] >= 0).all() and (found.boxes[:, :2] + found.boxes[:, 2:] <= SIZE).all()
    raw[0, 1, 4:6], raw[0, 1, 0] = 4.0, -9.0  # the next cell's box lies almost over the first
    raw[0, 0, 0] = 9.0
    assert sorted(yolo.detect(raw, grid, confidence=0.1, nms=0.1, most=10)[0].labels.tolist()) == [0, 1]
    assert len(yolo.detect(raw, grid, confidence=0.1, nms=0.5, most=1)[0].scores) == 1


def test_clustered_anchors_find_the_shapes():
    rng = np.random.default_rng(0)
    shapes = np.concatenate([rng.normal(centre, 0.3, (40, 2)) for centre in ((5, 5), (10, 20), (40, 12))])
    assert yolo.clustered_anchors(shapes, 3) == pytest.approx(np.array([[5, 5], [10, 20], [40, 12]]), abs=0.5)
    assert yolo.clustered_anchors(np.tile([[5.0, 5.0]], (9, 1)), 3) is None
    assert yolo.scaled_anchors(3, 416).tolist() == yolo.COCO_ANCHORS.tolist()
    assert yolo.scaled_anchors(2, 208) == pytest.approx(yolo.COCO_ANCHORS[3:] / 2)
