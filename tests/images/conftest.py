"""A small pipeline with random weights, and prompts of 24 studies."""

import pandas as pd
import pytest
import torch

from synvlp.models import pipeline as pipelines
from synvlp.store import tables

WORDS = ["effusion", "left", "right", "opacity", "nodule", "no", "large", "small"]


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNVLP_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    """The list of the pipeline's files. Images of 16 pixels, prompts of up to 8 tokens."""
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    vae = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        scaling_factor=0.9,
    )
    vae.decoder.conv_out.weight.data *= 3  # random weights make flat images
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *(f"{word}</w>" for word in WORDS)]
    letters = sorted({letter for word in WORDS for letter in word})
    vocabulary += [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts = ["".join(parts[:2]), *parts[2:]]
            vocabulary.append(parts[0])
    numbers = {token: number for number, token in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = CLIPTokenizer(vocab=numbers, merges=list(dict.fromkeys(merges)), model_max_length=8)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(numbers),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    scheduler = DPMSolverMultistepScheduler(beta_schedule="scaled_linear", steps_offset=1)
    folder = tmp_path_factory.mktemp("pipeline")
    files = pipelines.Files(**{name: folder / place for name, place in pipelines.FILES.items()})
    pipelines.write(pipelines.Pipeline(vae, text_encoder, tokenizer, unet, scheduler), files)
    return files.paths()


@pytest.fixture(scope="session")
def prompts(tmp_path_factory):
    """Path of the prompts; five different ones, one empty, one too long; 20 train, 3 val, 1 test."""
    texts = ["left effusion", "right effusion", "no effusion", "large left nodule", "small right opacity"]
    rows = [
        {
            "study_id": f"s{number:02d}",
            "patient_id": f"p{number:02d}",
            "split": "train" if number < 20 else "val" if number < 23 else "test",
            "text": "",
            "prompt": texts[number % 5],
            "origin": "report",
        }
        for number in range(24)
    ]
    rows[7]["prompt"] = "left " * 20
    rows[8]["prompt"] = " "
    path = tmp_path_factory.mktemp("prompts") / "prompts.parquet"
    tables.write(pd.DataFrame(rows), path, tables.PROMPTS)
    return path
