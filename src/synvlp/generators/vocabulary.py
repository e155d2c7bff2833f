"""A tokenizer in CLIP's format, learnt from prompts."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synvlp import job

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


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
