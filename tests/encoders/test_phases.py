"""A training in phases: which pairs each step sees, what the best step is chosen on, and that it outlives a stop."""

import signal

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synvlp import job, processes
from synvlp.encoders import batches, convirt
from synvlp.store import files, tables


@pytest.fixture(scope="module")
def two_sets(corpus, tmp_path_factory):
    """The corpus's pairs, and the same with inverted pixels as another set of pairs."""
    folder = tmp_path_factory.mktemp("inverted")
    tables.write(tables.read(corpus / "pairs.parquet", tables.PAIRS), folder / "pairs.parquet", tables.PAIRS)
    np.save(folder / "pixels.npy", 255 - np.load(corpus / "pixels.npy"))
    return {
        "pairs": [corpus / "pairs.parquet", folder / "pairs.parquet"],
        "pixels": [corpus / "pixels.npy", folder / "pixels.npy"],
    }


def read(corpus, sets, **changes):
    settings = convirt.Settings(**{"length": 24, "steps": 10, "batch": 8, "sentences": False, **changes})
    return batches.read(sets["pairs"], sets["pixels"], corpus / "tokenizer.json", settings), settings


def contents(outputs):
    return {path.name: path.read_bytes() for path in outputs.paths()}


def inverted(batch):
    """Which images of a batch are of the second set: their background is bright."""
    return np.median(batch.pixels, axis=(1, 2)) > 127


def test_each_step_sees_the_sets_of_its_phase(corpus, two_sets):
    """Against a plain walk through the draws: set by set, each goes on in its own order where it was left."""
    weights = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    sets, settings = read(corpus, two_sets, weights=weights, phases=[2, 1, 2], accumulate=2)
    assert batches.phase_ends(settings) == [4, 6, 10]
    seen = [inverted(sets.train(index, 8)) for index in range(20)]
    assert not np.any(seen[:8])
    assert np.all(seen[8:12])
    assert 0.2 < np.mean(seen[12:]) < 0.8
    for number in (0, 1):
        rows = [row for index in range(20) for row in _rows(sets, index, 8, number)]
        first = rows[:20]
        assert sorted(first) == sorted(sets.training[number])
        assert len(rows) > 20 and rows[:20] != rows[20:40]


def _rows(sets, index, size, number):
    places = slice(index * size, (index + 1) * size)
    drawn = zip(sets.drawn[0][places], sets.drawn[1][places], strict=True)
    return [sets._row(number, int(place)) for own, place in drawn if own == number]


def test_phases_of_equal_weights_are_one_training(corpus, two_sets):
    whole, _ = read(corpus, two_sets, weights=[3.0, 1.0])
    for weights, phases in (([3.0, 1.0], [1.0]), ([3.0, 1.0, 6.0, 2.0], [1.0, 3.0])):
        parted, _ = read(corpus, two_sets, weights=weights, phases=phases)
        for one, other in zip(whole.drawn, parted.drawn, strict=True):
            assert np.array_equal(one, other)
    assert [one["weight"] for one in whole.describe(80)] == [0.75, 0.25]


def test_validation_is_that_of_the_last_phase(corpus, two_sets):
    sets, _ = read(corpus, two_sets, weights=[1.0, 0.0, 0.0, 1.0], phases=[1, 1])
    held_out = sets.validate(4)
    assert sum(weight for weight, _ in held_out) == pytest.approx(1)
    assert all(inverted(batch).all() for _, batch in held_out)
    described = sets.describe(80)
    assert [(one["weight"], one["validation"], one["drawn"]) for one in described] == [([1, 0], 0, 40), ([0, 1], 8, 40)]


def test_a_first_phase_needs_no_validation_pairs_and_a_last_one_does(corpus, two_sets, tmp_path):
    frame = tables.read(two_sets["pairs"][0], tables.PAIRS)
    chosen = (frame.split == "train").to_numpy()
    tables.write(frame[chosen], tmp_path / "pairs.parquet", tables.PAIRS)
    np.save(tmp_path / "pixels.npy", np.load(two_sets["pixels"][0])[chosen])
    sets = {name: [tmp_path / paths[0].name, paths[1]] for name, paths in two_sets.items()}
    read(corpus, sets, weights=[1.0, 0.0, 0.0, 1.0], phases=[1, 1])
    with pytest.raises(job.JobError, match=f"{tmp_path.name}/pairs.parquet: at least two pairs of the split val"):
        read(corpus, sets, weights=[0.0, 1.0, 1.0, 0.0], phases=[1, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [1.0, 0.0], "phases": [1, 1]}, "for each of 2 sets in each of 2 phases"),
        ({"weights": [1.0, 1.0, 0.0, 0.0], "phases": [1, 1]}, "not all 0"),
        ({"phases": [1, -1]}, "the length of a phase is more than 0"),
        ({"phases": [1, 1000]}, "of 10 steps, one of them would get none"),
    ],
)
def test_phases_that_cannot_be_are_refused(corpus, two_sets, changes, message):
    with pytest.raises(job.JobError, match=message):
        read(corpus, two_sets, **changes)


def test_the_best_step_is_one_of_the_last_phase_and_a_stopped_training_goes_on(files_of, two_sets, stopped):
    """The first step would be the best, were it one of the last phase."""
    options = {
        "steps": 6,
        "validate_every": 1,
        "rate": 0.01,
        "warmup": 0.0,
        "weights": [1.0, 0.0, 0.0, 1.0],
        "phases": [2.0, 1.0],
    }
    settings, inputs, whole = files_of("convirt", "whole", **two_sets, **options)
    convirt.run(settings, inputs, whole)
    curve = pd.read_csv(whole.curve).query("name == 'total' and phase == 'validation'").set_index("step").value
    summary = files.read_json(whole.summary)
    assert summary["settings"]["phases"] == [2.0, 1.0]
    assert summary["best_step"] == curve[curve.index > 4].idxmin()
    assert curve.idxmin() == 1
    with Image.open(whole.curve_picture) as picture:
        assert picture.size == (720, 480)
    _, _, outputs = files_of("convirt", "stopped", **two_sets, **options)
    status, text = stopped(job.command("pretrain-convirt", settings, inputs, outputs), signal.SIGTERM)
    assert status == processes.STOPPED, text
    convirt.run(settings, inputs, outputs)
    assert contents(outputs) == contents(whole)


def test_a_source_without_phases_leaves_no_trace_of_them(files_of):
    settings, inputs, plain = files_of("convirt", "plain", steps=2, weights=[1.0])
    assert "phases" not in settings.flags()
    convirt.run(settings, inputs, plain)
    settings, _, one = files_of("convirt", "one", steps=2, weights=[1.0], phases=[1.0])
    convirt.run(settings, inputs, one)
    assert "phases" not in files.read_json(plain.summary)["settings"]
    assert {**contents(one), "summary.json": b""} == {**contents(plain), "summary.json": b""}
