import numpy as np
import pytest
import torch

from synvlp import job
from synvlp.models import image_encoder
from synvlp.tasks import augment, unet


def test_losses_by_their_formulas():
    rng = np.random.default_rng(0)
    logits, masks = rng.normal(size=(3, 2, 5, 5)), (rng.random((3, 2, 5, 5)) < 0.3).astype(float)
    p = 1 / (1 + np.exp(-logits))
    right = np.where(masks == 1, p, 1 - p)
    dice = [(2 * (p * masks)[:, c].sum() + 1) / (p[:, c].sum() + masks[:, c].sum() + 1) for c in range(2)]
    totals = unet.Totals(torch.tensor(logits), torch.tensor(masks).float())
    focal = (-((1 - right) ** 2) * np.log(right)).mean()
    assert totals.loss("focal_dice").item() == pytest.approx(10 * focal - np.log(dice).mean(), rel=1e-5)
    assert totals.loss("bce_dice").item() == pytest.approx(-np.log(right).mean() + 1 - np.mean(dice), rel=1e-5)


def test_totals_of_parts_add_up_to_those_of_the_whole():
    torch.manual_seed(0)
    logits, masks = torch.randn(6, 2, 8, 8), (torch.rand(6, 2, 8, 8) < 0.2).float()
    parts = unet.Totals(logits[:4], masks[:4])
    parts += unet.Totals(logits[4:], masks[4:])
    assert parts.loss("focal_dice").item() == pytest.approx(unet.Totals(logits, masks).loss("focal_dice").item())


def test_encoder_takes_the_pretrained_weights_and_gives_five_maps(encoder):
    state = image_encoder.read_state(encoder["image_encoder"])
    network = unet.encoder("resnet18", state, encoder["image_encoder"])
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])
    images = torch.randn(2, 3, 64, 64)
    maps = unet.feature_maps(network.eval(), images)
    assert [tuple(found.shape[1:]) for found in maps] == [
        (64, 32, 32),
        (64, 16, 16),
        (128, 8, 8),
        (256, 4, 4),
        (512, 2, 2),
    ]
    own = image_encoder.load(encoder["image_config"], encoder["image_encoder"])
    with torch.no_grad():
        assert torch.allclose(own(images)["layer3"], maps[3], atol=1e-5)
    assert unet.Decoder("resnet18", (8,) * 5, 3)(maps, 64).shape == (2, 3, 64, 64)


def test_an_untrained_decoder_expects_little_foreground():
    torch.manual_seed(0)
    maps = [
        torch.randn(4, channels, side, side) for channels, side in ((64, 32), (64, 16), (128, 8), (256, 4), (512, 2))
    ]
    probability = unet.Decoder("resnet18", (16,) * 5, 3)(maps, 64).sigmoid()
    assert probability.mean().item() == pytest.approx(unet.PRIOR, rel=0.5)
    assert probability.amax() < 0.5


def test_weights_of_another_architecture_are_refused(encoder):
    state = image_encoder.read_state(encoder["image_encoder"])
    with pytest.raises(job.JobError, match="image_encoder"):
        unet.encoder("resnet50", state, encoder["image_encoder"])


def test_masks_move_with_their_images():
    torch.manual_seed(1)
    masks = torch.zeros(8, 1, 64, 64)
    masks[:, :, 20:40, 10:50] = 1
    gray, moved = augment.with_masks(masks * 0.8, masks)
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert ((gray > 0.4) == (moved > 0)).float().mean() > 0.99
    assert (moved - masks).abs().sum() > 100


def test_boxes_move_with_their_images_and_the_originals_stay():
    torch.manual_seed(2)
    gray, boxes = torch.zeros(16, 1, 64, 64), []
    for image in range(16):
        x, y = 8 + image, 40 - image
        gray[image, 0, y : y + 14, x : x + 20] = 0.9
        boxes.append(torch.tensor([[x, y, 20.0, 14.0]], dtype=torch.float64))
    before = [own.clone() for own in boxes]
    warped, moved, remain = augment.with_boxes(gray, boxes)
    for image in range(16):
        assert torch.equal(boxes[image], before[image]) and remain[image].tolist() == [True]
        rows, columns = torch.nonzero(warped[image, 0] > 0.4).T
        edges = [columns.min(), rows.min(), columns.max() + 1 - columns.min(), rows.max() + 1 - rows.min()]
        assert moved[image][0].tolist() == pytest.approx([float(edge) for edge in edges], abs=1.5)
    assert max((own - old).abs().max() for own, old in zip(moved, before, strict=True)) > 1


def test_boxes_that_leave_the_image_are_dropped():
    torch.manual_seed(3)
    edge = [torch.tensor([[0.0, 30.0, 1.0, 5.0], [20.0, 20.0, 9.0, 9.0]], dtype=torch.float64)] * 32
    _, moved, remain = augment.with_boxes(torch.zeros(32, 1, 64, 64), edge)
    kept = torch.stack(remain)
    assert kept[:, 1].all() and 0 < kept[:, 0].sum() < 32
    for own in moved:
        assert (own[:, :2] >= 0).all() and (own[:, :2] + own[:, 2:] <= 64).all() and (own[:, 2:] > 0).all()
