"""Prompts of labels, as the config lists them: what says that a finding is there, or that it is not."""

from collections.abc import Sequence

import numpy as np

from synvlp.job import JobError


def by_label(given: Sequence[str], labels: Sequence[str], setting: str, *, needed: bool = True) -> dict[str, list[str]]:
    """The prompts of each label from entries "label: text", or "text with {}", which stands for every label's name.

    Raises JobError, naming the setting, for an entry of neither form, a prompt that a label has twice, and (if they
    are `needed`) for a label without a prompt.
    """
    found: dict[str, list[str]] = {label: [] for label in labels}
    for entry in given:
        for label, text in _read(entry, labels, setting):
            if text in found[label]:
                raise JobError(f"{setting}: the label {label} has the prompt {text!r} twice")
            found[label].append(text)
    missing = [label for label, texts in found.items() if not texts]
    if missing and needed:
        raise JobError(f"{setting}: no prompt for {', '.join(missing)}; give each label one or more, as 'label: text'")
    return found


def _read(entry: str, labels: Sequence[str], setting: str) -> list[tuple[str, str]]:
    label, colon, text = entry.partition(":")
    if colon and label.strip() in labels and text.strip():
        return [(label.strip(), text.strip())]
    if "{}" in entry and not (colon and label.strip() in labels):
        return [(name, entry.replace("{}", name.replace("_", " ").lower()).strip()) for name in labels]
    raise JobError(
        f"{setting}: {entry!r} is neither 'label: text', with one of the labels {', '.join(labels)}, nor a text "
        "with {} in the place of a label"
    )


def ensemble(features: np.ndarray) -> np.ndarray:
    """The feature that stands for several prompts (n, d): the mean of theirs, each of length 1, again of length 1.

    As in CheXzero (Tiu et al., 2022) and BioViL-T (Bannur et al., 2023); float32 (d,).
    """
    length = np.linalg.norm(features, axis=1, keepdims=True)
    mean = (features / np.maximum(length, 1e-12)).mean(axis=0)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)


def pair_probability(positive: np.ndarray, negative: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """exp(p) / (exp(p) + exp(n)) of cosines over a temperature (Tiu et al., 2022), of any shape; float64."""
    return 1 / (1 + np.exp((negative.astype(np.float64) - positive) / temperature))


def class_probability(cosines: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Softmax of cosines (n, classes) over a temperature; float64, rows summing to 1."""
    scaled = cosines.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
