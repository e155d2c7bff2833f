"""Pre-trained encoders as one: images and texts in the space in which a method compares them.

What pre-training writes is opened here for whoever uses it later, whatever the method: encoders in eval mode, without
gradients, dropout or batch statistics, so that a feature depends on its own image or text alone.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synvlp import job
from synvlp.models import device, image_encoder, text_encoder, texts
from synvlp.models.encoder_files import Encoder
from synvlp.models.heads import convirt, gloria, mgca
from synvlp.store import files, images, weights

HEADS = {"convirt": convirt, "gloria": gloria, "mgca": mgca}
NEEDED = {
    "convirt": ("embedding", "pooling"),
    "gloria": ("local_layer", "attention_temperature", "word_temperature"),
    "mgca": ("local_layer", "hidden", "embedding", "prototypes"),
}
BATCH = 64  # images or texts at a time


@dataclass(frozen=True)
class Aligned:
    """Encoders and heads of one pre-training.

    Attributes:
        method: "convirt", "gloria" or "mgca".
        described: the content of heads.json; its numbers are attributes.
        image_config: architecture, image_size, mean and std.
    """

    method: str
    described: SimpleNamespace
    image_config: Mapping
    settings: job.Compute
    _image: nn.Module
    _text: nn.Module
    _heads: nn.Module
    _reader: Any

    @property
    def has_words(self) -> bool:
        """Whether the method has features of words, to be compared with those of regions."""
        return self.method != "convirt"

    def images(self, pixels: np.ndarray, batch: int = BATCH) -> np.ndarray:
        """Global features: uint8 (n, S, S) gives float32 (n, d), each of length 1."""
        return self._over(len(pixels), batch, lambda part: self._images(pixels[part]))

    def regions(self, pixels: np.ndarray, size: int | None = None, batch: int = BATCH) -> np.ndarray:
        """Local features in the space of the words: uint8 (n, S, S) gives float32 (n, h, w, d), each of length 1.

        GLoRIA's regions and MGCA's patches. Raises ValueError for a method that has none.

        Args:
            size: pixels a side of the network's input; None: the size that it was trained with. More give finer maps.
        """
        self._need_words()
        return self._over(len(pixels), batch, lambda part: unit(self._regions(pixels[part], size).movedim(1, -1)))

    def places(self, pixels: np.ndarray, size: int | None = None, batch: int = BATCH) -> np.ndarray:
        """Features of places in the space of texts: uint8 (n, S, S) gives float32 (n, h, w, d), each of length 1.

        An image's feature is the head's of the mean over the last feature map; here the head takes each place of it by
        itself, as in class activation maps. No method was trained for that.
        """
        return self._over(len(pixels), batch, lambda part: unit(self._places(pixels[part], size)))

    def texts(self, given: Sequence[str], batch: int = BATCH) -> np.ndarray:
        """Features of texts: float32 (n, d), each of length 1. A text longer than `described.length` tokens is cut."""
        return self._over(len(given), batch, lambda part: self._texts(given[part]))

    def words(self, given: Sequence[str], batch: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
        """Features of words in the space of the regions: float32 (n, W, d), each of length 1 and zero for padding.

        Also the number of words of each text, int64 (n,). Raises ValueError for a method without words.
        """
        self._need_words()
        lengths = self._over(len(given), batch, lambda part: self._read(given[part])["word_lengths"])
        longest = int(lengths.max(initial=1))
        found = self._over(len(given), batch, lambda part: unit(self._words(given[part], longest)[0]))
        return found, lengths

    def attention(self, pixels: np.ndarray, given: Sequence[str], size: int | None = None) -> np.ndarray:
        """Where a text's words look in its image, mean over the words: float32 (n, h, w), each summing to 1.

        GLoRIA's attention, for one batch: image i with text i. The attention divides a place among a text's words, so
        that a text of a single word looks everywhere alike. Raises ValueError for another method.
        """
        if self.method != "gloria":
            raise ValueError(f"{self.method} has no attention of words to regions")
        with self._computing():
            words, lengths = self._words(given)
            maps = gloria.attention(self._regions(pixels, size), words, lengths, self.described.attention_temperature)
            return (maps.sum(1) / lengths[:, None, None]).float().cpu().numpy()

    def local_scores(self, pixels: np.ndarray, given: Sequence[str], batch: int = BATCH) -> np.ndarray:
        """GLoRIA's local score of every image with every text: float32 (n, m).

        log of the mean, over a text's words, of exp(word_temperature cosine), over word_temperature, the cosine being
        that of a word with what it attends to in the image: equation 6 with a mean for its sum, which would favour long
        texts, and from -1 to 1. Padding is no word. Raises ValueError for another method.
        """
        if self.method != "gloria":
            raise ValueError(f"{self.method} has no local scores")
        with self._computing():
            words, lengths = self._words(given)
        return self._over(len(pixels), batch, lambda part: self._scores(pixels[part], words, lengths))

    def _scores(self, pixels: np.ndarray, words: Tensor, lengths: Tensor) -> Tensor:
        regions, given = self._regions(pixels).float(), self.described
        columns = []
        for own, length in zip(words.float(), lengths.tolist(), strict=True):
            each = own[None, :length].expand(len(regions), -1, -1)
            maps = gloria.attention(
                regions, each, lengths.new_full((len(regions),), length), given.attention_temperature
            )
            seen = maps.flatten(2) @ regions.flatten(2).transpose(1, 2)
            cosine = functional.cosine_similarity(seen, each, dim=-1)
            columns.append((given.word_temperature * cosine).exp().mean(1).log() / given.word_temperature)
        return torch.stack(columns, 1)

    def _see(self, pixels: np.ndarray, size: int | None = None) -> dict[str, Tensor]:
        where = next(self._image.parameters()).device
        given = torch.from_numpy(np.array(pixels)).to(where)
        return self._image(image_encoder.preprocess(given, self.image_config, size))

    def _images(self, pixels: np.ndarray) -> Tensor:
        return unit(HEADS[self.method].of_images(self._heads, self._see(pixels)))

    def _regions(self, pixels: np.ndarray, size: int | None = None) -> Tensor:
        return HEADS[self.method].of_regions(self._heads, self._see(pixels, size), self.described)

    def _places(self, pixels: np.ndarray, size: int | None) -> Tensor:
        found = self._see(pixels, size)["layer4"].permute(0, 2, 3, 1)
        rows = HEADS[self.method].of_images(self._heads, {"global": found.flatten(0, 2)})
        return rows.unflatten(0, found.shape[:3])

    def _need_words(self) -> None:
        if not self.has_words:
            raise ValueError(f"{self.method} has no features of regions and words")

    def _read(self, given: Sequence[str], words: int | None = None) -> dict[str, Tensor]:
        ids, word_of, lengths = texts.padded(self._reader, given)
        where = next(self._text.parameters()).device
        arrays = [torch.from_numpy(array).long().to(where) for array in (ids, lengths, word_of)]
        layers = min(self.described.last_layers, self._text.config.num_hidden_layers)
        read = text_encoder.encode(self._text, *arrays, layers, words)
        if (read["word_lengths"] == 0).any():
            raise job.JobError("a text holds no word, so that nothing can be compared with it")
        return read

    def _texts(self, given: Sequence[str]) -> Tensor:
        return unit(HEADS[self.method].of_texts(self._heads, self._read(given), self.described))

    def _words(self, given: Sequence[str], longest: int | None = None) -> tuple[Tensor, Tensor]:
        read = self._read(given, longest)
        return HEADS[self.method].of_words(self._heads, read), read["word_lengths"]

    def _over(self, count: int, batch: int, computed: Callable[[slice], Tensor]) -> np.ndarray:
        """Rows of all batches, on the CPU, floats as float32."""
        if not count:
            raise ValueError("there is nothing to embed")
        with self._computing():
            parts = [computed(part).cpu() for part in images.batches(count, batch)]
        found = torch.cat(parts)
        return (found.float() if found.is_floating_point() else found).numpy()

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        where = next(self._image.parameters()).device
        with torch.inference_mode(), device.autocast(self.settings, where):
            yield


def unit(features: Tensor) -> Tensor:
    """Features of length 1 along the last axis, float32; those of length 0 stay."""
    return functional.normalize(features.float(), dim=-1)


def open_encoder(given: Encoder, settings: job.Compute) -> Aligned:
    """Encoders and heads from the files that pre-training wrote, on the settings' device, in eval mode.

    Raises JobError, naming the file, for files that are of another kind or do not fit together.
    """
    where = device.prepare(settings)
    described = _described(given.heads_config)
    method = described.method
    image = image_encoder.load(given.image_config, given.image_encoder)
    text = text_encoder.load(given.text_config, given.text_weights)
    _check(given, described, image, text)
    heads = HEADS[method].build(described, image.channels, text.config.hidden_size)
    _fill(heads, given.heads)
    parts = [part.to(where).eval().requires_grad_(False) for part in (image, text, heads)]
    reader = texts.open_tokenizer(given.text_tokenizer)
    if reader.get_vocab_size() > text.config.vocab_size:
        raise job.JobError(
            f"{given.text_tokenizer}: has {reader.get_vocab_size()} subwords, but {given.text_config} has room for "
            f"{text.config.vocab_size}"
        )
    reader.enable_truncation(min(described.length, text.config.max_position_embeddings))
    config = image_encoder.read_config(given.image_config)
    return Aligned(method, described, config, settings, *parts, reader)


def _described(path: Path) -> SimpleNamespace:
    try:
        content = files.read_json(path)
    except ValueError as error:
        raise job.JobError(f"{path}: not readable as JSON ({error})") from error
    method = content.get("method") if isinstance(content, dict) else None
    if method not in HEADS:
        raise job.JobError(f"{path}: describes heads of {method or 'no method'}; known are {', '.join(HEADS)}")
    needed = ("length", "last_layers", "image_channels", "text_hidden", *NEEDED[method])
    missing = [name for name in needed if name not in content]
    if missing:
        raise job.JobError(f"{path}: lacks {', '.join(missing)}; heads that were written by pre-training have them")
    return SimpleNamespace(**content)


def _check(given: Encoder, described: SimpleNamespace, image: nn.Module, text: nn.Module) -> None:
    """Raise JobError if image or text encoder are of another width than the heads were made for."""
    for path, name, has, wants in (
        (given.image_config, "image channels", image.channels, described.image_channels),
        (given.text_config, "text features", text.config.hidden_size, described.text_hidden),
    ):
        if has != wants:
            raise job.JobError(f"{path}: has {name} {has}, but {given.heads_config} was made for {wants}")


def _fill(heads: nn.Module, path: Path) -> None:
    try:
        state = weights.load(path)
    except ValueError as error:
        raise job.JobError(str(error)) from error
    image_encoder.fill(heads, state, path)
