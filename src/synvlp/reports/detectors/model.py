"""A Hugging Face token classifier as one more detector, read from a folder of this machine.

Any classifier with a fast tokenizer serves; `StanfordAIMI/stanford-deidentifier-base` is the one for radiology.
Only safetensors are read and no code of the folder is run.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from synvlp.reports.lexicons import words
from synvlp.reports.spans import WORD, Span

# The labels of public de-identification models, without B- and I-; a label that is missing here is no identifier.
CATEGORIES = {
    "PATIENT": "patient",
    "NAME": "patient",
    "PER": "patient",
    "PERSON": "patient",
    "HCW": "doctor",
    "DOCTOR": "doctor",
    "STAFF": "doctor",
    "USERNAME": "doctor",
    "HOSPITAL": "hospital",
    "ORGANIZATION": "hospital",
    "DATE": "date",
    "ID": "record",
    "IDNUM": "record",
    "MEDICALRECORD": "record",
    "SSN": "record",
    "ACCESSION": "accession",
    "PHONE": "phone",
    "FAX": "phone",
    "EMAIL": "phone",
    "URL": "phone",
    "CONTACT": "phone",
    "ADDRESS": "address",
    "STREET": "address",
    "CITY": "address",
    "ZIP": "address",
    "LOCATION": "address",
    "LOC": "address",
    "GEO": "address",
    "DEVICE": "device",
    "AGE": "age",
}


class Classifier:
    """A token classifier.

    Args:
        folder: configuration, tokenizer and safetensors weights in transformers' layout.
        threshold: least probability of a label; below it a token is no identifier.

    Raises FileNotFoundError without safetensors in the folder, ValueError for a model that cannot be used.
    """

    def __init__(self, folder: Path, threshold: float) -> None:
        from transformers import AutoModelForTokenClassification, AutoTokenizer

        if not sorted(Path(folder).glob("*.safetensors")):
            raise FileNotFoundError(f"detector_folder {folder}: no weights as safetensors")
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
        if not self._tokenizer.is_fast:
            raise ValueError(f"detector_folder {folder}: its tokenizer does not tell where a token stands in the text")
        self._model = AutoModelForTokenClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
        self._model.eval()
        self._labels = {number: _bare(label) for number, label in self._model.config.id2label.items()}
        if not set(self._labels.values()) & set(CATEGORIES):
            raise ValueError(
                f"detector_folder {folder}: none of its labels {sorted(set(self._labels.values()))} is known"
            )
        self._threshold = threshold
        self._length = min(self._tokenizer.model_max_length, self._model.config.max_position_embeddings, 512)

    def find(self, text: str) -> Iterator[Span]:
        """The spans that the model finds, whole words only, without words that cannot be identifiers."""
        import torch

        encoded = self._tokenizer(
            text,
            truncation=True,
            max_length=self._length,
            stride=self._length // 4,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        marks: dict[tuple[int, int], tuple[float, str]] = {}
        for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            with torch.inference_mode():
                shares = self._model(input_ids=torch.tensor([ids])).logits[0].float().softmax(-1)
            best, which = shares.max(-1)
            for (start, end), share, label in zip(offsets, best.tolist(), which.tolist(), strict=True):
                category = CATEGORIES.get(self._labels[label])
                if (
                    end > start
                    and category
                    and share >= self._threshold
                    and share > marks.get((start, end), (0.0, ""))[0]
                ):
                    marks[start, end] = (share, category)
        yield from _plausible(
            text, _merged(text, [(*place, category) for place, (_, category) in sorted(marks.items())])
        )


def _bare(label: str) -> str:
    return (
        label.upper()
        .removeprefix("B-")
        .removeprefix("I-")
        .removeprefix("L-")
        .removeprefix("U-")
        .removeprefix("E-")
        .removeprefix("S-")
    )


def _merged(text: str, marks: Sequence[tuple[int, int, str]]) -> list[Span]:
    """Tokens of one category that touch, or that only spaces or joints part, as one span of whole words."""
    spans: list[Span] = []
    for start, end, category in marks:
        while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
            start -= 1
        while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
            end += 1
        last = spans[-1] if spans else None
        if last and last.category == category and start <= last.end + 2 and not text[last.end : start].strip(" ,./-'"):
            spans[-1] = Span(last.start, max(last.end, end), category, "model")
        else:
            spans.append(Span(start, end, category, "model"))
    return spans


def _plausible(text: str, found: Sequence[Span]) -> Iterator[Span]:
    for span in found:
        part = text[span.start : span.end]
        named = WORD.findall(part)
        if span.category == "age" and not any(
            number.isdigit() and int(number) > 89 for number in part.replace("-", " ").split()
        ):
            continue
        if span.category in {"record", "accession", "phone", "device"} and not any(sign.isdigit() for sign in part):
            continue
        if span.category in {"patient", "doctor", "hospital", "address"} and all(
            words.is_vocabulary(word) or words.is_eponym(word) for word in named
        ):
            continue
        if span.category == "date" and not any(sign.isdigit() for sign in part):
            continue
        yield span
