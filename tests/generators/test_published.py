"""Published pipelines: opened safely, adopted, fine-tuned; what is wrong with one is said."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel

from synvlp import job
from synvlp.generators import adopt, finetune, vocabulary
from synvlp.models import pipeline as pipelines


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A Stable Diffusion in small, with the files that a published one has."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=16,
    ).save_pretrained(folder / "vae")
    UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    ).save_pretrained(folder / "unet")
    tokenizer = vocabulary.train(["Effusion on the left.", "Effusion on the right."] * 3, 600, 12)
    (folder / "tokenizer").mkdir()
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "tokenizer/vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "tokenizer/merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    config = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps(config))
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=12,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    ).save_pretrained(folder / "text_encoder")
    PNDMScheduler(beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1).save_pretrained(
        folder / "scheduler"
    )
    index = {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker/pytorch_model.bin").write_bytes(b"pickled")
    return folder


@pytest.fixture
def broken(published, tmp_path):
    return shutil.copytree(published, tmp_path / "broken")


def adopted(folder, tools, tmp_path, **settings):
    outputs = tools.pipeline_outputs(tmp_path / "adopted", adopt.Outputs)
    adopt.run(adopt.Settings(pipeline_folder=str(folder), **settings), adopt.Inputs(), outputs)
    return outputs


def test_a_published_pipeline_is_written_in_our_files(published, tools, tmp_path):
    outputs = adopted(published, tools, tmp_path)
    for part, base in pipelines.WEIGHTS.items():
        theirs, ours = (load_file(folder / part / f"{base}.safetensors") for folder in
                        (published, outputs.model_index.parent))  # fmt: skip
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    index = json.loads(outputs.model_index.read_text())
    assert index["safety_checker"] == [None, None]
    assert index["scheduler"] == ["diffusers", "PNDMScheduler"]
    opened = pipelines.open_files(outputs.paths())
    assert opened.tokenizer.model_max_length == 12
    assert opened.tokenizer.tokenize("Effusion LEFT") == ["effusion</w>", "left</w>"]


def test_nothing_of_the_source_folder_stays_in_it(published, tools, tmp_path):
    for path in adopted(published, tools, tmp_path).paths():
        assert str(published).encode() not in path.read_bytes()


def test_half_precision_weights_are_opened_by_their_name(broken, tools, tmp_path):
    pairs = {"vae": "diffusion_pytorch_model", "unet": "diffusion_pytorch_model", "text_encoder": "model"}
    for part, base in pairs.items():
        (broken / part / f"{base}.safetensors").rename(broken / part / f"{base}.fp16.safetensors")
    with pytest.raises(job.JobError, match=r"model\.safetensors is missing; there is .*\.fp16\.safetensors"):
        adopted(broken, tools, tmp_path)
    assert adopted(broken, tools, tmp_path, variant="fp16").unet_weights.is_file()


def test_pickled_weights_are_never_read(broken, tools, tmp_path):
    (broken / "unet/diffusion_pytorch_model.safetensors").rename(broken / "unet/diffusion_pytorch_model.bin")
    message = r"unet/diffusion_pytorch_model\.safetensors is missing.*pickled weights are never read"
    with pytest.raises(job.JobError, match=message):
        adopted(broken, tools, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "vae/config.json",
        "unet/config.json",
        "text_encoder/config.json",
        "tokenizer/vocab.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_missing_file_is_named(broken, tools, tmp_path, name):
    (broken / name).unlink()
    with pytest.raises(job.JobError, match=f"{name} is missing"):
        adopted(broken, tools, tmp_path)


def test_a_part_of_another_kind_is_named(broken, tools, tmp_path):
    index = json.loads((broken / "model_index.json").read_text())
    index["unet"] = ["unet.my_code", "MyUNet"]
    (broken / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(job.JobError, match="unet is MyUNet; UNet2DConditionModel is what can be used"):
        adopted(broken, tools, tmp_path)


def test_damaged_weights_are_an_error_of_the_folder(broken, tools, tmp_path):
    (broken / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(job.JobError, match="cannot be opened as a diffusers pipeline"):
        adopted(broken, tools, tmp_path)


@pytest.fixture
def tuning(published, corpus):
    return {
        "pipeline_folder": str(published),
        "image_size": 16,
        "steps": 3,
        "warmup": 1,
        "batch": 4,
        "accumulation": 2,
        "rate": 1e-3,
        "validate_every": 3,
        "sample_count": 1,
        "sample_steps": 2,
    }


def test_fine_tuning_leaves_the_autoencoder_alone(published, corpus, tools, tuning, tmp_path):
    outputs = tools.pipeline_outputs(tmp_path, finetune.Outputs)
    finetune.run(finetune.Settings(**tuning), finetune.Inputs(**corpus), outputs)
    changed = {}
    for part, base in pipelines.WEIGHTS.items():
        theirs, ours = (load_file(folder / part / f"{base}.safetensors") for folder in
                        (published, outputs.model_index.parent))  # fmt: skip
        assert theirs.keys() == ours.keys()
        changed[part] = any(not torch.equal(theirs[name], ours[name]) for name in theirs)
    assert changed == {"vae": False, "unet": True, "text_encoder": True}
    assert pipelines.open_files(outputs.paths()).vae.config.in_channels == 3


def test_another_pipeline_does_not_go_on_from_the_state_of_this_one(
    broken, corpus, tools, tuning, tmp_path, monkeypatch, scratch
):
    monkeypatch.setattr(job.Scratch, "due", lambda self: True)
    monkeypatch.setattr(job.Scratch, "remove", lambda self: None)
    settings = finetune.Settings(**tuning | {"pipeline_folder": str(broken)})
    inputs, outputs = finetune.Inputs(**corpus), tools.pipeline_outputs(tmp_path, finetune.Outputs)
    finetune.run(settings, inputs, outputs)
    config = broken / "unet/config.json"
    config.write_text(config.read_text() + "\n")
    finetune.run(settings, inputs, outputs)
    assert len(list(scratch.iterdir())) == 2
