"""Feature spaces and the job that embeds: published layouts with random weights, unreadable images, resumed runs."""

import numpy as np
import pandas as pd
import pytest
import torch

from synvlp import job
from synvlp.images.quality import embed, spaces
from synvlp.models import image_encoder
from synvlp.store import files, images, tables, weights

FP32 = job.Compute(precision="fp32")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    weights.save(image_encoder.seeded("resnet18", 0).state_dict(), folder / "image_encoder.safetensors")
    files.write_json(folder / "image_encoder.json", image_encoder.describe("resnet18", 32))
    return folder / "image_encoder.safetensors", folder / "image_encoder.json"


def pixels(count=3, side=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side)).astype(np.uint8)


def image_table(path, count=6, bad=()):
    rows = [
        {"study_id": f"s{number}", "image": b"no image" if number in bad else images.encode(item)}
        for number, item in enumerate(pixels(count))
    ]
    tables.write(pd.DataFrame(rows), path, tables.IMAGES)
    return path


def embedded(folder, encoder, **settings):
    outputs = embed.Outputs(features=folder / "features.parquet", rejected=folder / "rejected.csv")
    source = settings.pop("images", None) or image_table(folder / "images.parquet", bad=settings.pop("bad", ()))
    inputs = embed.Inputs(images=source, weights=encoder[0], config=encoder[1])
    embed.run(embed.Settings(**settings), inputs, outputs)
    return outputs


def test_features_are_the_encoders(encoder, tmp_path):
    frame = tables.read(embedded(tmp_path, encoder, batch=2).features, tables.EMBEDDED)
    net, config = image_encoder.load(encoder[1], encoder[0]), image_encoder.read_config(encoder[1])
    with torch.inference_mode():
        wanted = net(image_encoder.preprocess(torch.from_numpy(pixels(6)), config))["global"]
    assert list(frame["study_id"]) == [f"s{number}" for number in range(6)] and (frame["draw"] == 0).all()
    assert np.stack(frame["features"]) == pytest.approx(wanted.numpy(), abs=1e-5)


def test_an_unreadable_image_is_listed_and_not_replaced(encoder, tmp_path):
    outputs = embedded(tmp_path, encoder, bad=(2,), max_rejected=0.5)
    assert list(tables.read(outputs.features, tables.EMBEDDED)["study_id"]) == ["s0", "s1", "s3", "s4", "s5"]
    assert pd.read_csv(outputs.rejected)["reason"].to_list() == ["unreadable image"]


def test_too_many_unreadable_images_stop_the_run(encoder, tmp_path):
    with pytest.raises(job.JobError, match="max_rejected"):
        embedded(tmp_path, encoder, bad=(0, 1, 2))


def test_synthetic_images_keep_their_draws(encoder, tmp_path):
    rows = [
        {
            "study_id": "s1",
            "draw": draw,
            "image": images.encode(item),
            "prompt": "p",
            "seed": 1,
            "accepted": True,
            "reason": "",
        }
        | dict.fromkeys(("mean", "deviation", "saturated"), 0.5)
        for draw, item in enumerate(pixels(3))
    ]
    tables.write(pd.DataFrame(rows), tmp_path / "shard.parquet", tables.SHARD)
    outputs = embedded(tmp_path, encoder, images=tmp_path / "shard.parquet")
    assert list(tables.read(outputs.features, tables.EMBEDDED)["draw"]) == [0, 1, 2]


def test_a_stopped_run_ends_in_the_same_bytes(encoder, tmp_path, monkeypatch):
    whole = embedded(tmp_path / "whole", encoder, batch=2).features.read_bytes()
    calls = []

    def dying(self, *given):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *given)

    real = spaces.Network.__call__
    monkeypatch.setenv("SYNVLP_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr(spaces.Network, "__call__", dying)
    with pytest.raises(KeyboardInterrupt):
        embedded(tmp_path / "again", encoder, batch=2)
    calls.extend([1] * 10)
    again = embedded(tmp_path / "again", encoder, batch=2)
    assert again.features.read_bytes() == whole and len(calls) < 3 + 10 + 3


def test_inception_has_torchvisions_names(tmp_path):
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    net = inception_v3(weights=None, init_weights=False, aux_logits=True, transform_input=False).eval()
    weights.save(net.state_dict(), tmp_path / "inception.safetensors")
    found = spaces.open_network("inception", tmp_path / "inception.safetensors")(pixels(2), FP32)
    net.fc = torch.nn.Identity()
    given = image_encoder.preprocess(
        torch.from_numpy(pixels(2)), {"image_size": 299, "mean": [0.5] * 3, "std": [0.5] * 3}
    )
    with torch.inference_mode():
        wanted = net(given)
    assert found.shape == (2, 2048) and torch.allclose(found, wanted, atol=1e-4)


def test_xrv_takes_one_channel_in_its_range(tmp_path):
    from torchvision.models import densenet121

    torch.manual_seed(0)
    net = densenet121(weights=None, num_classes=18)
    net.features.conv0 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    weights.save({**net.state_dict(), "op_threshs": torch.zeros(18)}, tmp_path / "xrv.safetensors")
    network = spaces.open_network("xrv", tmp_path / "xrv.safetensors")
    extremes = np.stack([np.zeros((8, 8)), np.full((8, 8), 255)]).astype(np.uint8)
    assert network.prepare(torch.from_numpy(extremes)).amax((1, 2, 3)).tolist() == pytest.approx([-1024, 1024])
    net.eval().classifier = torch.nn.Identity()
    with torch.inference_mode():
        wanted = net(network.prepare(torch.from_numpy(pixels(2))))
    found = network(pixels(2), FP32)
    assert found.shape == (2, 1024) and torch.allclose(found, wanted, rtol=1e-4)


@pytest.fixture
def dino(tmp_path):
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)
    net = Dinov2Model(config).eval()
    net.save_pretrained(tmp_path / "dino")
    described = {"crop_size": {"height": 28, "width": 28}, "image_mean": [0.4] * 3, "image_std": [0.2] * 3}
    files.write_json(tmp_path / "dino/preprocessor_config.json", described)
    return tmp_path / "dino", net


def test_rad_dino_is_opened_from_its_folder(dino):
    folder, net = dino
    network = spaces.open_network(
        "rad-dino", folder / "model.safetensors", folder / "config.json", folder / "preprocessor_config.json"
    )
    given = image_encoder.preprocess(
        torch.from_numpy(pixels(2)), {"image_size": 28, "mean": [0.4] * 3, "std": [0.2] * 3}
    )
    with torch.inference_mode():
        wanted = net(given).last_hidden_state[:, 0]
    assert torch.allclose(network(pixels(2), FP32), wanted, atol=1e-5)


def test_rad_dino_with_missing_weights_is_refused(dino):
    folder, _net = dino
    state = weights.load(folder / "model.safetensors")
    weights.save(
        {name: value for name, value in state.items() if "layernorm" not in name}, folder / "model.safetensors"
    )
    with pytest.raises(job.JobError, match="layernorm"):
        spaces.open_network("rad-dino", folder / "model.safetensors", folder / "config.json")


def test_other_files_are_refused(encoder, tmp_path):
    with pytest.raises(job.JobError, match="safetensors only"):
        spaces.open_network("inception", tmp_path / "inception.pth")
    with pytest.raises(job.JobError, match="lack"):
        spaces.open_network("xrv", encoder[0])
    with pytest.raises(job.JobError, match="needs a config"):
        spaces.open_network("real", encoder[0])
