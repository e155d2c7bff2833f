import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from synvlp import job
from synvlp.store import files, tables
from synvlp.tables import comparison, scaling

PAIRS = {"synthetic-25": 100, "synthetic-50": 210, "synthetic": 400, "real": 400}
SIGNAL = {"synthetic-25": 0.6, "synthetic-50": 0.9, "synthetic": 1.2, "real": 1.6, "none": 0.2}


def predictions(signal, noise, fractions=(0.1, 1.0)):
    """Scores of 90 studies of 45 patients for two labels, that follow fixed targets with fixed noise."""
    targets = np.random.default_rng(0).integers(0, 2, (90, 2))
    rows = []
    for number, fraction in enumerate(fractions):
        own = signal * targets + np.random.default_rng((noise, number)).normal(0, 1, targets.shape)
        rows += [
            (fraction, 0, f"s{i:03}", f"p{i // 2:03}", label, targets[i, j], own[i, j])
            for i in range(90)
            for j, label in enumerate("ab")
        ]
    return pd.DataFrame(rows, columns=list(tables.CLASSIFICATION.columns))


def counted(folder, pairs=PAIRS):
    """A summary of each source; the second set is not drawn from in any phase."""
    for source, count in pairs.items():
        sets = [
            {"training": count // 2, "weight": [1.0, 0.0]},
            {"training": count - count // 2, "weight": [0.0, 1.0]},
            {"training": 999, "weight": [0.0, 0.0]},
        ]
        files.write_json(folder / f"{source}.json", {"sets": sets})
    return [folder / f"{source}.json" for source in pairs]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What draw-scaling writes for two methods, and the lists and files it is given."""
    folder = tmp_path_factory.mktemp("scaling")
    runs = [("chest", method, source, 0) for method in ("convirt", "mgca") for source in PAIRS]
    runs += [("chest", "random", "none", 0)]
    paths = []
    for number, (_, method, source, _) in enumerate(runs):
        paths.append(folder / f"{number}.parquet")
        tables.write(predictions(SIGNAL[source], method == "mgca"), paths[-1], tables.CLASSIFICATION)
    lists = dict(
        zip(("datasets", "methods", "sources", "encoder_seeds"), map(list, zip(*runs, strict=True)), strict=True)
    )
    options = {"curve": ["synthetic-25", "synthetic-50", "synthetic"], "counted": list(PAIRS), "resamples": 200}
    inputs = scaling.Inputs(predictions=paths, summaries=counted(folder))
    outputs = scaling.Outputs(
        points=folder / "p.csv", slopes=folder / "s.csv", png=folder / "f.png", svg=folder / "f.svg"
    )
    scaling.run(scaling.Settings(**lists, **options), inputs, outputs)
    return lists, options, inputs, outputs


def test_points_are_those_of_the_comparison_over_the_counted_pairs(made, tmp_path):
    lists, _, inputs, outputs = made
    points = pd.read_csv(outputs.points)
    curve = points[points.role == "curve"].set_index(["fraction", "method", "source"])
    assert curve.pairs.groupby("source").first().to_dict() == {name: PAIRS[name] for name in PAIRS if name != "real"}
    assert set(points.loc[points.role == "reference", "source"]) == {"real"}
    assert (points.role == "baseline").sum() == 2
    compared = comparison.Outputs(comparison=tmp_path / "c", csv=tmp_path / "d", markdown=tmp_path / "e")
    settings = comparison.Settings(**lists, tasks=["classification"] * len(inputs.predictions), resamples=200)
    comparison.run(settings, comparison.Inputs(predictions=inputs.predictions), compared)
    frame = tables.read(compared.comparison, tables.COMPARISON).query("reference_method == '' and metric == 'auroc'")
    frame = frame.set_index(["fraction", "method", "source"])
    for key, row in curve.iterrows():
        assert row[["value", "low", "high"]].tolist() == pytest.approx(
            frame.loc[key, ["value", "low", "high"]].tolist(), rel=1e-5
        )


def test_slopes_are_those_of_a_plain_refit_of_each_resample(made):
    _, options, inputs, outputs = made
    slopes = pd.read_csv(outputs.slopes)
    assert slopes[["fraction", "method", "points"]].values.tolist() == [
        [fraction, method, 3] for fraction in (0.1, 1.0) for method in ("convirt", "mgca")
    ]
    frames = [pd.read_parquet(path).query("fraction == 1.0") for path in inputs.predictions[:3]]
    patients = sorted(set(frames[0].patient_id))
    own = [dict(list(frame.groupby("patient_id"))) for frame in frames]
    place = np.log2([PAIRS[name] for name in options["curve"]])

    def slope(drawn):
        areas = []
        for rows_of in own:
            parts = pd.concat([rows_of[patient] for patient in drawn])
            areas.append(np.mean([roc_auc_score(part.target, part.score) for _, part in parts.groupby("label")]))
        return np.polyfit(place, areas, 1)[0]

    row = slopes.query("method == 'convirt' and fraction == 1.0").iloc[0]
    assert row.per_doubling == pytest.approx(slope(patients), rel=1e-5)
    random = np.random.default_rng(1)
    drawn = [slope(random.choice(patients, len(patients))) for _ in range(60)]
    assert row.high - row.low == pytest.approx(np.ptp(np.quantile(drawn, [0.025, 0.975])), rel=0.5)
    assert row.low < row.per_doubling < row.high
    assert row.low > 0  # the noise is the same in all points: paired, the slope is sure


def test_a_line_is_fitted_exactly_and_the_same_number_of_pairs_twice_is_no_third_point():
    pairs = [100, 200, 800]
    values = [np.array([0.5, 0.4]), np.array([0.52, 0.5]), np.array([0.56, 0.7])]
    found = scaling.fit(pairs, values)
    assert found["per_doubling"] == pytest.approx(0.02)
    assert found["start"] == pytest.approx(0.5)
    assert found["low"] == pytest.approx(0.1) == found["high"]


def test_two_numbers_of_pairs_give_points_and_no_line(made, tmp_path):
    lists, options, inputs, _ = made
    outputs = scaling.Outputs(**{name: tmp_path / f"a.{name}" for name in ("points", "slopes", "png", "svg")})
    settings = scaling.Settings(**lists, **{**options, "curve": ["synthetic-25", "synthetic", "real"]})
    scaling.run(settings, inputs, outputs)
    assert pd.read_csv(outputs.slopes).empty
    assert set(pd.read_csv(outputs.points).query("source == 'real'").role) == {"curve", "reference"}


def test_the_figure_is_the_same_in_every_run(made, tmp_path):
    lists, options, inputs, first = made
    outputs = scaling.Outputs(**{name: tmp_path / f"a.{name}" for name in ("points", "slopes", "png", "svg")})
    scaling.run(scaling.Settings(**lists, **options), inputs, outputs)
    for one, other in zip(first.paths(), outputs.paths(), strict=True):
        assert one.read_bytes() == other.read_bytes()
    with Image.open(first.png) as picture:
        assert picture.width == 1440 and picture.height > 800
    assert first.svg.read_text().count("<text") == 0  # text as outlines


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counted": ["real"]}, "counted has 1 entries for 4 files in summaries"),
        ({"curve": ["synthetic", "more"]}, "the pairs of more are not counted"),
        ({"sources": ["real"]}, "sources has 1 entries for 9 files in predictions"),
        ({"curve": []}, "no encoder of any source predicted classification"),
    ],
)
def test_what_does_not_fit_is_refused(made, changes, message):
    lists, options, inputs, outputs = made
    with pytest.raises(job.JobError, match=message):
        scaling.run(scaling.Settings(**{**lists, **options, **changes}), inputs, outputs)


def test_another_file_is_no_summary(made, tmp_path):
    lists, options, inputs, outputs = made
    (tmp_path / "other.json").write_text(json.dumps({"sets": [{"weight": 1}]}))
    wrong = inputs.model_copy(update={"summaries": [tmp_path / "other.json", *inputs.summaries[1:]]})
    with pytest.raises(job.JobError, match=r"other\.json: not the summary of a pre-training"):
        scaling.run(scaling.Settings(**lists, **options), wrong, outputs)
