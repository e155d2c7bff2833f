"""The files of a pre-trained encoder, without the libraries that open them."""

from pathlib import Path

from synvlp import job


class Encoder(job.Files):
    """The files of one pre-trained encoder, as inputs of a job; subclasses add their own."""

    image_encoder: Path = job.file("image encoder's weights (safetensors)")
    image_config: Path = job.file("image encoder's config (JSON)")
    text_config: Path = job.file("text encoder: config.json")
    text_weights: Path = job.file("text encoder: model.safetensors")
    text_tokenizer: Path = job.file("text encoder: tokenizer.json")
    heads: Path = job.file("projection heads (safetensors)")
    heads_config: Path = job.file("what the heads need to be used (JSON)")
