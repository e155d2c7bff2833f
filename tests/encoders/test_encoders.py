"""The networks: ResNets with torchvision's names, BERT in transformers' layout, heads, the baseline."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from synvlp import job
from synvlp.encoders import augment, baseline
from synvlp.models import image_encoder, projection, text_encoder
from synvlp.store import files, weights


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_the_image_encoder_is_torchvisions(architecture):
    encoder = image_encoder.build(architecture).eval()
    published = getattr(torchvision.models, architecture)(num_classes=3).eval()
    left = published.load_state_dict(encoder.state_dict(), strict=False)
    assert set(left.missing_keys) == {"fc.weight", "fc.bias"}
    assert not left.unexpected_keys
    published.fc = nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    features = encoder(images)
    torch.testing.assert_close(features["global"], published(images))
    sizes = {"layer2": 8, "layer3": 4, "layer4": 2}
    assert {name: features[name].shape[2] for name in sizes} == sizes
    assert {name: value.shape[1] for name, value in features.items()} == encoder.channels


def test_an_image_encoder_comes_back_from_its_files(tmp_path):
    outputs = baseline.Outputs(image_encoder=tmp_path / "a.safetensors", image_config=tmp_path / "a.json")
    job.execute(
        "init-encoder", baseline, baseline.Settings(architecture="resnet18", seed=2), baseline.Inputs(), outputs
    )
    first = outputs.image_encoder.read_bytes()
    encoder = image_encoder.load(outputs.image_config, outputs.image_encoder)
    assert not encoder.training
    assert torch.equal(encoder.conv1.weight, image_encoder.seeded("resnet18", 2).conv1.weight)
    baseline.run(baseline.Settings(architecture="resnet18", seed=2), baseline.Inputs(), outputs)
    assert outputs.image_encoder.read_bytes() == first
    baseline.run(baseline.Settings(architecture="resnet18", seed=3), baseline.Inputs(), outputs)
    assert outputs.image_encoder.read_bytes() != first
    config = image_encoder.read_config(outputs.image_config)
    assert config == image_encoder.describe("resnet18", 224)


@pytest.mark.parametrize("name", ["given.safetensors", "given.pth"])
def test_a_baseline_adopts_given_weights_without_their_classifier(tmp_path, name):
    published = torchvision.models.resnet18()
    state = {key: value for key, value in published.state_dict().items() if not key.endswith("num_batches_tracked")}
    weights.save(state, tmp_path / name) if name.endswith("safetensors") else torch.save(state, tmp_path / name)
    outputs = baseline.Outputs(image_encoder=tmp_path / "a.safetensors", image_config=tmp_path / "a.json")
    baseline.run(baseline.Settings(architecture="resnet18"), baseline.Inputs(weights=tmp_path / name), outputs)
    written = weights.load(outputs.image_encoder)
    assert torch.equal(written["layer2.0.conv1.weight"], published.state_dict()["layer2.0.conv1.weight"])
    assert not any(key.startswith("fc") for key in written)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer1.0.conv1.weight"), "lack 'layer1.0.conv1.weight'"),
        (lambda state: state.update(more=torch.ones(1)), "hold 'more', which"),
        (lambda state: state.update({"bn1.bias": torch.ones(3)}), r"'bn1.bias' has the shape \(3,\).*\(64,\)"),
    ],
)
def test_wrong_weights_name_their_first_wrong_key(tmp_path, change, message):
    state = image_encoder.build("resnet18").state_dict()
    change(state)
    weights.save(state, tmp_path / "wrong.safetensors")
    outputs = baseline.Outputs(image_encoder=tmp_path / "a.safetensors", image_config=tmp_path / "a.json")
    inputs = baseline.Inputs(weights=tmp_path / "wrong.safetensors")
    with pytest.raises(job.JobError, match=message):
        baseline.run(baseline.Settings(architecture="resnet18"), inputs, outputs)


def test_unreadable_weights_and_configs_are_named(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    with pytest.raises(job.JobError, match=r"broken\.safetensors: no readable weights"):
        image_encoder.read_state(tmp_path / "broken.safetensors")
    files.write_json(tmp_path / "config.json", {"architecture": "resnet18", "mean": [0.5]})
    with pytest.raises(job.JobError, match="needs image_size, std"):
        image_encoder.read_config(tmp_path / "config.json")
    with pytest.raises(job.JobError, match="no architecture 'resnet34'"):
        image_encoder.build("resnet34")


def test_preprocessing_scales_resizes_and_normalises():
    config = image_encoder.describe("resnet18", 32, mean=[0.5, 0.4, 0.3], std=0.25)
    pixels = torch.full((2, 32, 32), 255, dtype=torch.uint8)
    pixels[1] = 0
    made = image_encoder.preprocess(pixels, config)
    assert made.shape == (2, 3, 32, 32)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made[0, :, 5, 5], torch.tensor([2.0, 2.4, 2.8]))
    torch.testing.assert_close(made[1, :, 5, 5], torch.tensor([-2.0, -1.6, -1.2]))
    assert image_encoder.preprocess(pixels, config, size=48).shape == (2, 3, 48, 48)
    board = torch.zeros(1, 64, 64, dtype=torch.uint8)
    board[:, ::2] = 255
    torch.testing.assert_close(
        image_encoder.preprocess(board, image_encoder.describe("resnet18", 16))[0, 0, 4:12],
        torch.zeros(8, 16),
        atol=0.02,
        rtol=0,
    )


def test_views_are_the_image_itself_where_nothing_may_change():
    pixels = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    config = image_encoder.describe("resnet18", 32)
    numbers = torch.rand(3, 6)
    made = augment.augment(pixels, numbers, config, crop=1.0, rotation=0.0, brightness=0.0)
    torch.testing.assert_close(made, image_encoder.preprocess(pixels, config), atol=1e-4, rtol=0)


def test_views_crop_turn_and_lighten_within_their_limits():
    numbers = torch.rand(500, 6, generator=torch.Generator().manual_seed(0))
    maps = augment.views(numbers[:, :4], crop=0.5, rotation=20)
    side = torch.linalg.det(maps[:, :, :2]).sqrt()
    assert side.min() >= 0.5**0.5 - 1e-4
    assert side.max() <= 1 + 1e-4
    assert (maps[:, :, 2].abs().amax(1) <= 1 - side + 1e-5).all()
    angle = torch.atan2(maps[:, 1, 0], maps[:, 0, 0]) * 180 / np.pi
    assert 15 < angle.abs().max() <= 20.01
    assert (maps[:, 0, 0] > 0).all()  # never mirrored
    pixels = torch.full((500, 8, 8), 128, dtype=torch.uint8)
    config = image_encoder.describe("resnet18", 8, mean=0.0, std=1.0)
    lit = augment.augment(pixels, numbers, config, crop=1.0, rotation=0.0, brightness=0.3)[:, 0, 4, 4] * 255 / 128
    assert 0.7 - 1e-3 < lit.min() < 0.75
    assert 1.25 < lit.max() < 1.3 + 1e-3


def test_words_are_the_sums_of_their_subwords():
    torch.manual_seed(0)
    model = text_encoder.build(20, layers=5, hidden=8, heads=2, length=8, dropout=0.1).eval()
    ids = torch.tensor([[2, 7, 8, 9, 3, 0], [2, 5, 3, 0, 0, 0]])
    word_of = torch.tensor([[-1, 0, 0, 1, -1, -1], [-1, 0, -1, -1, -1, -1]])
    lengths = torch.tensor([5, 3])
    with torch.no_grad():
        found = text_encoder.encode(model, ids, lengths, word_of, last_layers=4)
        mask = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]])
        output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, output_attentions=True)
    summed = sum(output.hidden_states[-4:])
    torch.testing.assert_close(found["tokens"], summed)
    torch.testing.assert_close(found["words"][0, 0], summed[0, 1] + summed[0, 2])
    torch.testing.assert_close(found["words"][0, 1], summed[0, 3])
    torch.testing.assert_close(found["words"][1, 0], summed[1, 1])
    assert not found["words"][1, 1].any()
    assert found["word_lengths"].tolist() == [2, 1]
    looks = output.attentions[-1][0, :, 0].mean(0)
    expected = torch.stack([looks[1] + looks[2], looks[3]])
    torch.testing.assert_close(found["word_attention"][0], expected / expected.sum())
    torch.testing.assert_close(found["word_attention"][1], torch.tensor([1.0, 0.0]))
    assert found["mask"].tolist() == mask.bool().tolist()
    with torch.no_grad():
        alone = text_encoder.encode(model, ids[1:, :3], lengths[1:], word_of[1:, :3], last_layers=4)
    torch.testing.assert_close(alone["cls"], found["cls"][1:], atol=1e-5, rtol=1e-5)


def test_a_published_bert_is_cut_to_its_first_layers(tmp_path):
    torch.manual_seed(0)
    model = text_encoder.build(20, layers=3, hidden=8, heads=2, length=8, dropout=0.0)
    text_encoder.save(model, tmp_path / "config.json", tmp_path / "plain.safetensors")
    old = {f"bert.{name}": value for name, value in model.state_dict().items()}
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): value for name, value in old.items()}
    old |= {"bert.pooler.dense.weight": torch.ones(8, 8), "cls.predictions.bias": torch.ones(20)}
    weights.save(old, tmp_path / "old.safetensors")
    for name in ("plain", "old"):
        loaded = text_encoder.load(tmp_path / "config.json", tmp_path / f"{name}.safetensors", layers=2)
        assert len(loaded.encoder.layer) == loaded.config.num_hidden_layers == 2
        assert torch.equal(loaded.encoder.layer[1].output.dense.weight, model.encoder.layer[1].output.dense.weight)
    with pytest.raises(job.JobError, match="has 3 layers, fewer than text_layers = 4"):
        text_encoder.load(tmp_path / "config.json", tmp_path / "plain.safetensors", layers=4)
    del old["bert.embeddings.word_embeddings.weight"]
    weights.save(old, tmp_path / "old.safetensors")
    with pytest.raises(job.JobError, match=r"lack 'embeddings\.word_embeddings\.weight'"):
        text_encoder.load(tmp_path / "config.json", tmp_path / "old.safetensors")
    with pytest.raises(job.JobError, match="text_heads = 3 does not divide text_hidden = 8"):
        text_encoder.build(20, layers=1, hidden=8, heads=3, length=8, dropout=0.0)


def test_absent_words_do_not_enter_a_heads_statistics():
    torch.manual_seed(0)
    head = projection.normed_perceptron(4, 8, 5)
    words = torch.randn(3, 6, 4)
    present = torch.arange(6) < torch.tensor([[6], [2], [3]])
    one = projection.on_present(head, words, present)
    other = projection.on_present(head, words.masked_fill(~present[..., None], 50.0), present)
    torch.testing.assert_close(one, other)
    assert not one[~present].any()
    torch.testing.assert_close(one[present].mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    maps = torch.randn(2, 4, 3, 2)
    places = projection.flat_map(maps)
    assert torch.equal(places[1, 5], maps[1, :, 2, 1])
    head.eval()
    torch.testing.assert_close(projection.on_places(head, places)[1, 5], head(places[1, 5][None])[0])
