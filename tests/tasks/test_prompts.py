"""Prompts as the config lists them, and what several of them say together."""

import numpy as np
import pytest

from synvlp.job import JobError
from synvlp.tasks import prompts


def test_prompts_belong_to_labels_or_are_templates():
    given = ["effusion: fluid: much of it", "no {}", "Pleural_Thickening: thick"]
    assert prompts.by_label(given, ["effusion", "Pleural_Thickening"], "positive") == {
        "effusion": ["fluid: much of it", "no effusion"],
        "Pleural_Thickening": ["no pleural thickening", "thick"],
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["effusion: fluid"], "positive: no prompt for nodule"),
        (["effusion: fluid", "mass: a mass"], "'mass: a mass' is neither"),
        (["effusion:  ", "{}"], "'effusion:  ' is neither"),
        (["{}", "nodule: nodule"], "the label nodule has the prompt 'nodule' twice"),
    ],
)
def test_prompts_that_cannot_be_used_are_refused(given, message):
    with pytest.raises(JobError, match=message):
        prompts.by_label(given, ["effusion", "nodule"], "positive")


def test_an_ensemble_is_the_normalised_mean_of_normalised_features():
    found = prompts.ensemble(np.array([[3.0, 0.0], [0.0, 0.1]]))
    np.testing.assert_allclose(found, [0.5**0.5] * 2, rtol=1e-6)
    assert prompts.ensemble(np.zeros((2, 3))).tolist() == [0, 0, 0]


def test_probabilities_are_softmaxes():
    from scipy.special import softmax

    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1, 1, (6, 2)).astype(np.float32)
    expected = softmax(cosines / 0.5, axis=1)
    np.testing.assert_allclose(prompts.class_probability(cosines, 0.5), expected, rtol=1e-6)
    np.testing.assert_allclose(prompts.pair_probability(*cosines.T, 0.5), expected[:, 0], rtol=1e-6)
