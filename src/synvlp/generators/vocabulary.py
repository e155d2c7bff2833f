"""A tokenizer in CLIP's format, learnt from prompts, and a small text encoder for it."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from synvlp import job

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


class Sizes(Protocol):
    """The settings that describe a text encoder."""

    seed: int
    tokens: int
    text_width: int
    text_layers: int
    text_heads: int


def train(texts: Sequence[str], size: int, length: int) -> "CLIPTokenizer":
    """Learn a byte-pair encoding (Sennrich et al. 2016) as CLIP has it: lower case, words end in </w>.

    All single bytes are in the vocabulary, so that no text is unknown to it.

    Args:
        texts: what it is learnt from.
        size: tokens at most.
        length: tokens of a text at most, with the two that mark start and end.
    """
    from tokenizers import pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    backend = CLIPTokenizer().backend_tokenizer
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[START, END, *(f"{letter}</w>" for letter in letters)],
        initial_alphabet=letters,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer=trainer)
    learnt = json.loads(backend.to_str())["model"]
    merges = [tuple(pair) for pair in learnt["merges"]]
    job.log.info("learnt %d tokens from %d prompts", len(learnt["vocab"]), len(texts))
    return CLIPTokenizer(vocab=learnt["vocab"], merges=merges, model_max_length=length)


def text_encoder(settings: Sizes, tokenizer: "CLIPTokenizer", name: str = "text encoder") -> "CLIPTextModel":
    """A CLIP text encoder for the tokenizer, with weights drawn from the seed and its name.

    Raises JobError for settings that do not fit each other.
    """
    import torch

    from synvlp.models import generator
    from synvlp.store.seeds import seed_of

    torch.manual_seed(seed_of(settings.seed, name))
    return generator.text_encoder(
        vocab_size=len(tokenizer),
        hidden_size=settings.text_width,
        intermediate_size=2 * settings.text_width,
        projection_dim=settings.text_width,
        num_hidden_layers=settings.text_layers,
        num_attention_heads=settings.text_heads,
        max_position_embeddings=settings.tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
