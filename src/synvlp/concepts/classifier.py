"""A token classifier as the finder of concepts, read from a folder of this machine.

Made for the five kinds of entities of RaTE-NER (abnormality, non-abnormality, disease, non-disease, anatomy), with or
without B- and I-. What it marks is looked up in the vocabulary; entities that are in it under no name are left out.
In RaTE-NER, a finding that is said to be absent is a non-abnormality or non-disease. What is uncertain or history
comes from the rules, since the five kinds do not tell. Only safetensors are read, and no code of the folder is run.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from synvlp.concepts import text as texts
from synvlp.concepts.extraction import Extractor, Mention
from synvlp.concepts.vocabulary import KINDS, Concept

_NEGATIVE = {"non-abnormality", "non-disease"}


class Classifier(Extractor):
    """Finds concepts where a token classifier marks entities.

    Args:
        folder: configuration, tokenizer and safetensors weights in transformers' layout.
        threshold: least probability of a label; below it a token is no entity.
        vocabulary: the concepts by name.

    Raises FileNotFoundError without safetensors in the folder, ValueError for a model that cannot be used.
    """

    def __init__(self, folder: Path, threshold: float, vocabulary: Mapping[str, Concept]) -> None:
        from transformers import AutoModelForTokenClassification, AutoTokenizer

        super().__init__(vocabulary)
        if not sorted(Path(folder).glob("*.safetensors")):
            raise FileNotFoundError(f"classifier_folder {folder}: no weights as safetensors")
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
        if not self._tokenizer.is_fast:
            raise ValueError(f"classifier_folder {folder}: its tokenizer does not tell where a token stands")
        self._model = AutoModelForTokenClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
        self._model.eval()
        self._labels = {number: _kind(label) for number, label in self._model.config.id2label.items()}
        if not set(self._labels.values()) & set(KINDS):
            given = ", ".join(sorted(map(str, self._model.config.id2label.values())))
            raise ValueError(f"classifier_folder {folder}: its labels are {given}; expected are {', '.join(KINDS)}")
        self._threshold = threshold
        self._length = min(self._tokenizer.model_max_length, self._model.config.max_position_embeddings, 512)

    def numbered(self, text: str) -> list[tuple[int, Mention]]:
        """The mentions with the number of their sentence, counted from 0."""
        kinds = self._marked(text)
        found = []
        for number, (start, end) in enumerate(texts.sentences(text)):
            for mention in self._sentence(texts.tokens(text, start, end)):
                if status := self._said(mention, kinds):
                    found.append((number, Mention(mention.concept, mention.start, mention.end, status)))
        return found

    def _said(self, mention: Mention, kinds: Mapping[int, str]) -> str | None:
        """The status that the classifier gives a phrase of the vocabulary; None where it marks no entity."""
        marks = [kinds[place] for place in range(mention.start, mention.end) if place in kinds]
        if not marks:
            return None
        negative = sum(kind in _NEGATIVE for kind in marks) * 2 > len(marks)
        own = self._kinds[mention.concept]
        if own == "anatomy" or own in _NEGATIVE or mention.status == "uncertain":
            return mention.status
        return "absent" if negative else "present"

    def _marked(self, text: str) -> dict[int, str]:
        """The kind of entity at each place of the text that the model marks."""
        kinds: dict[int, str] = {}
        for start, end, kind in self._windows(text):
            kinds.update(dict.fromkeys(range(start, end), kind))
        return kinds

    def _windows(self, text: str) -> Iterator[tuple[int, int, str]]:
        """The marked tokens of a text, which is read in windows that overlap by a quarter."""
        import torch

        encoded = self._tokenizer(
            text,
            truncation=True,
            max_length=self._length,
            stride=self._length // 4,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            with torch.inference_mode():
                shares = self._model(input_ids=torch.tensor([ids])).logits[0].float().softmax(-1)
            best, which = shares.max(-1)
            for (start, end), share, label in zip(offsets, best.tolist(), which.tolist(), strict=True):
                if end > start and share >= self._threshold and self._labels[label] in KINDS:
                    yield start, end, self._labels[label]


def _kind(label: str) -> str:
    """A label without B-, I- and the like, in lower case, with a hyphen ("B-NON_DISEASE" is "non-disease")."""
    bare = label.lower().replace("_", "-")
    return bare[2:] if bare[:2] in ("b-", "i-", "e-", "s-", "l-", "u-") else bare
