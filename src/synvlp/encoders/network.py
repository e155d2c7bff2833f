"""The network of pre-training: image encoder, text encoder, and a method's heads."""

from typing import Any

import torch
from torch import Tensor, nn

from synvlp.encoders.trainer import Inputs, Method, Training
from synvlp.job import JobError, log
from synvlp.models import image_encoder, text_encoder, texts
from synvlp.store import seeds


class Network(nn.Module):
    """Image encoder, text encoder and heads under one roof, so that one optimizer and one state hold them all."""

    def __init__(self, image: nn.Module, text: nn.Module, heads: nn.Module, last_layers: int) -> None:
        super().__init__()
        self.image = image
        self.text = text
        self.heads = heads
        self.last_layers = last_layers

    def forward(
        self, images: Tensor, ids: Tensor, lengths: Tensor, word_of: Tensor, words: int | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Features of images, as of the image encoder, and of texts, as of `text_encoder.encode`."""
        return self.image(images), text_encoder.encode(self.text, ids, lengths, word_of, self.last_layers, words)


def build(method: Method, settings: Training, inputs: Inputs) -> Network:
    """The network with its first weights: given ones, or random ones that depend on the seed alone.

    All methods and all sources begin with the same image encoder, and so does the random baseline of that seed.
    Raises JobError for weights that do not fit.
    """
    vocabulary = texts.open_tokenizer(inputs.tokenizer).get_vocab_size()
    image = image_encoder.seeded(settings.architecture, settings.seed)
    if inputs.image_weights:
        image_encoder.fill(image, image_encoder.read_state(inputs.image_weights), inputs.image_weights)
    torch.manual_seed(seeds.seed_of(settings.seed, "text encoder"))
    text = _text_encoder(settings, inputs, vocabulary)
    text_encoder.freeze(text, settings.frozen_text_layers)
    torch.manual_seed(seeds.seed_of(settings.seed, "heads"))
    heads = method.build_heads(settings, image.channels, text.config.hidden_size)
    layers = min(settings.last_layers, text.config.num_hidden_layers)
    for name, part in (("image encoder", image), ("text encoder", text), ("heads", heads)):
        log.info("%s: %.2f million weights", name, sum(value.numel() for value in part.parameters()) / 1e6)
    return Network(image.to(memory_format=torch.channels_last), text, heads, layers)


def _text_encoder(settings: Training, inputs: Inputs, vocabulary: int) -> Any:
    if (inputs.bert_config is None) != (inputs.bert_weights is None):
        raise JobError("a text encoder to start from needs both bert_config and bert_weights")
    if inputs.bert_config is None:
        shape = (settings.text_layers, settings.text_hidden, settings.text_heads)
        return text_encoder.build(vocabulary, *shape, settings.length, settings.text_dropout)
    text = text_encoder.load(inputs.bert_config, inputs.bert_weights, settings.text_layers)
    for name, needed, has in (
        ("subwords", vocabulary, text.config.vocab_size),
        ("tokens", settings.length, text.config.max_position_embeddings),
    ):
        if needed > has:
            raise JobError(f"{inputs.bert_config}: has room for {has} {name}, but {needed} are asked for")
    return text
