import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from synvlp import job
from synvlp.store import tables
from synvlp.tables import comparison

SCHEMA = {
    "classification": tables.CLASSIFICATION,
    "segmentation": tables.SEGMENTATION,
    "detection": tables.DETECTION,
}


class Study:
    """Prediction files with their parallel lists."""

    def __init__(self, folder):
        self.folder, self.paths = folder, []
        self.lists = {name: [] for name in ("tasks", "datasets", "methods", "sources", "encoder_seeds")}

    def add(self, frame, method, source, encoder_seed=0, task="classification", dataset="chest"):
        path = self.folder / f"{method}-{source}-{encoder_seed}-{len(self.paths)}.parquet"
        tables.write(frame, path, SCHEMA[task])
        self.paths.append(path)
        for values, value in zip(self.lists.values(), (task, dataset, method, source, encoder_seed), strict=True):
            values.append(value)
        return path

    def compare(self, **settings):
        outputs = comparison.Outputs(**{name: self.folder / name for name in ("comparison", "csv", "markdown")})
        settings = comparison.Settings(**self.lists, **({"resamples": 300} | settings))
        comparison.run(settings, comparison.Inputs(predictions=self.paths), outputs)
        return tables.read(outputs.comparison, tables.COMPARISON)


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def scores(
    noise,
    signal=1.0,
    studies=120,
    per_patient=1,
    fractions=(1.0,),
    seeds=(0,),
    labels=("a", "b"),
    truth_seed=0,
    copies=1,
):
    """Predictions that follow fixed targets with fixed noise (by its seed), in the classification schema."""
    drawn = np.random.default_rng(truth_seed)
    targets = drawn.integers(0, 2, (studies, len(labels)))
    rows = []
    for fraction in fractions:
        for seed in seeds:
            own = signal * targets + np.random.default_rng((noise, seed)).normal(0, 1, targets.shape)
            rows += [
                (fraction, seed, f"s{i:04}-{c}", f"p{i // per_patient:04}", label, targets[i, j], own[i, j])
                for i in range(studies)
                for j, label in enumerate(labels)
                for c in range(copies)
            ]
    return pd.DataFrame(rows, columns=list(tables.CLASSIFICATION.columns))


def row(frame, method, source, reference="", **having):
    chosen = frame[(frame.method == method) & (frame.source == source) & (frame.reference_source == reference)]
    for name, value in having.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_values_are_the_means_over_runs(study):
    frames = [scores(1, seeds=(0, 1)), scores(2, seeds=(0, 1))]
    for encoder_seed, frame in enumerate(frames):
        study.add(frame, "mgca", "real", encoder_seed)
    found = row(study.compare(), "mgca", "real")
    areas = [
        roc_auc_score(group["target"], group["score"])
        for frame in frames
        for _, group in frame.groupby(["seed", "label"])
    ]
    assert found["value"] == pytest.approx(np.mean(areas), abs=1e-12)
    assert found["runs"] == 4
    assert found["spread"] == pytest.approx(np.reshape(areas, (4, 2)).mean(axis=1).std(ddof=1))
    assert found["low"] < found["low90"] < found["value"] < found["high90"] < found["high"]
    assert (found["studies"], found["patients"], found["resamples"]) == (120, 120, 300)


def test_differences_are_to_the_reference_and_to_the_baseline(study):
    for source, signal in (("real", 1.0), ("synthetic", 0.9), ("mixed", 1.5)):
        study.add(scores(1, signal), "mgca", source)
    study.add(scores(2, 0.2), "random", "none")
    study.add(scores(3, 0.4), "imagenet", "none")
    frame = study.compare()
    made = frame[frame.reference_method != ""]
    assert sorted(zip(made.method, made.source, made.reference_method, made.reference_source, strict=True)) == [
        ("imagenet", "none", "random", "none"),
        ("mgca", "mixed", "mgca", "real"),
        ("mgca", "mixed", "random", "none"),
        ("mgca", "real", "random", "none"),
        ("mgca", "synthetic", "mgca", "real"),
        ("mgca", "synthetic", "random", "none"),
    ]
    mixed = row(frame, "mgca", "mixed", "real")
    assert mixed["value"] == pytest.approx(row(frame, "mgca", "mixed")["value"] - row(frame, "mgca", "real")["value"])
    assert mixed["verdict"] == "superior"
    assert row(frame, "mgca", "real", "none")["verdict"] == "superior"
    assert mixed["share"] < mixed["adjusted"] <= 2 * mixed["share"] + 1e-12
    own = frame[frame.reference_method == ""]
    assert own[["share", "adjusted", "margin"]].isna().all(axis=None)
    assert (own["verdict"] == "").all()


def test_shared_noise_narrows_the_paired_interval(study):
    """The same noise in both arms cancels in a paired difference; unpaired it could not."""
    study.add(scores(1, 1.0), "mgca", "real")
    study.add(scores(1, 1.1), "mgca", "synthetic")
    study.add(scores(2, 1.0), "gloria", "real")
    study.add(scores(3, 1.1), "gloria", "synthetic")
    frame = study.compare()
    width = {method: np.ptp(row(frame, method, "synthetic", "real")[["low", "high"]]) for method in ("mgca", "gloria")}
    assert width["mgca"] < width["gloria"] / 3
    own = np.ptp(row(frame, "mgca", "real")[["low", "high"]])
    assert width["mgca"] < own / 3


def test_copies_of_a_patients_studies_do_not_shrink_the_interval(tmp_path):
    found = []
    for copies in (1, 3):
        folder = tmp_path / str(copies)
        folder.mkdir()
        study = Study(folder)
        study.add(scores(1, copies=copies), "mgca", "real")
        found.append(row(study.compare(), "mgca", "real"))
    assert found[1]["studies"] == 3 * found[0]["studies"]
    for name in ("value", "low", "high"):
        assert found[0][name] == pytest.approx(found[1][name], abs=1e-12)


def test_resamples_with_one_class_drop_the_label(study):
    frame = scores(1, studies=30)
    rare = frame["label"] == "b"
    frame.loc[rare, "target"] = (frame.loc[rare, "study_id"] == "s0000-0").astype(int)
    study.add(frame, "mgca", "real")
    found = row(study.compare(), "mgca", "real")
    assert found["resamples"] == 300
    frame["target"] = (frame["study_id"] == "s0000-0").astype(int)
    study.paths, study.lists = [], {name: [] for name in study.lists}
    study.add(frame, "mgca", "real")
    share = row(study.compare(), "mgca", "real")["resamples"] / 300
    assert share == pytest.approx(1 - (1 - 1 / 30) ** 30, abs=0.1)


def test_labels_that_were_not_judged_are_left_out(study):
    frame = scores(1)
    missing = (frame["label"] == "b") & (frame["study_id"] < "s0060")
    study.add(frame[~missing], "mgca", "real")
    value = row(study.compare(), "mgca", "real")["value"]
    areas = [roc_auc_score(group["target"], group["score"]) for _, group in frame[~missing].groupby("label")]
    assert value == pytest.approx(np.mean(areas))


def test_accuracy_of_exclusive_labels(study):
    frame = scores(1, labels=("a", "b", "c"))
    classes = np.random.default_rng(0).integers(0, 3, 120)
    frame["target"] = (np.tile([0, 1, 2], 120) == np.repeat(classes, 3)).astype(int)
    frame["score"] += frame["target"]
    study.add(frame, "mgca", "real")
    assert set(study.compare()["metric"]) == {"auroc"}
    found = row(study.compare(exclusive=["chest"]), "mgca", "real", metric="accuracy")
    guessed = frame["score"].to_numpy().reshape(120, 3).argmax(axis=1)
    assert found["value"] == pytest.approx((guessed == classes).mean())


def masks(shift):
    generator = np.random.default_rng(0)
    rows = []
    for study in range(60):
        for label in ("left", "right"):
            target = int(generator.integers(0, 2) * generator.integers(50, 100))
            predicted = int(target and target - shift)
            rows.append((1.0, 0, f"s{study:03}", f"p{study // 2}", label, target, predicted, predicted))
    return pd.DataFrame(rows, columns=list(tables.SEGMENTATION.columns))


def test_segmentation(study):
    study.add(masks(0), "mgca", "real", task="segmentation")
    study.add(masks(20), "mgca", "synthetic", task="segmentation")
    frame = study.compare()
    perfect = frame[(frame.source == "real") & (frame.reference_method == "")]
    assert sorted(perfect["metric"]) == ["dice", "dice_positives", "iou"]
    assert (perfect[["value", "low", "high"]] == 1.0).all(axis=None)
    counts = masks(20)
    dice = 2 * counts["common_pixels"] / (counts["target_pixels"] + counts["predicted_pixels"])
    by_label = counts.assign(dice=dice.fillna(1.0)).groupby("label")["dice"].mean()
    positives = counts.assign(dice=dice).groupby("label")["dice"].mean()
    assert row(frame, "mgca", "synthetic", metric="dice")["value"] == pytest.approx(by_label.mean())
    assert row(frame, "mgca", "synthetic", metric="dice_positives")["value"] == pytest.approx(positives.mean())
    difference = row(frame, "mgca", "synthetic", "real", metric="dice_positives")
    assert difference["verdict"] == "inferior"
    assert difference["patients"] == 30


def boxes(hit_rate):
    """Three studies in four hold an object, each study has two boxes, the first a hit at times."""
    generator = np.random.default_rng(0)
    rows = []
    for study in range(40):
        objects, hit = int(study % 4 > 0), generator.random()
        for rank in (-1, 0, 1):
            matched = [bool(objects and rank == 0 and hit < hit_rate and t < 6) for t in range(12)]
            score = generator.random() / (rank + 2)
            place = (1.0, 0, f"s{study:03}", f"p{study}", "opacity", rank)
            rows.append((*place, objects if rank < 0 else 0, score, 0.0, 0.0, 1.0, 1.0, matched))
    return pd.DataFrame(rows, columns=list(tables.DETECTION.columns))


def test_detection(study):
    study.add(boxes(1.0), "mgca", "real", task="detection")
    study.add(boxes(0.5), "mgca", "synthetic", task="detection")
    study.add(boxes(0.0), "random", "none", task="detection")
    frame = study.compare()
    own = frame[(frame.source == "real") & (frame.reference_method == "")].set_index("metric")["value"]
    assert own["map"] == pytest.approx(own["ap50"] * 4 / 10)  # hits at 0.50 to 0.65 of 0.50 to 0.95
    assert own["map_40_75"] == pytest.approx(own["ap50"] * 6 / 8)
    assert row(frame, "random", "none", metric="map")["value"] == 0
    assert row(frame, "mgca", "synthetic", "real", metric="ap50")["verdict"] == "inferior"


def test_encoders_with_different_studies_are_named(study):
    study.add(scores(1), "mgca", "real")
    frame = scores(2)
    other = study.add(frame[~frame["study_id"].isin(["s0003-0", "s0005-0"])], "mgca", "synthetic")
    with pytest.raises(job.JobError, match="predict different studies") as error:
        study.compare()
    assert other.name in str(error.value)
    assert study.paths[0].name in str(error.value)
    assert "2 (s0003-0, s0005-0) only in the second" in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(target=1 - f["target"]), r"another target for 120 \(s0000-0, s0001-0, s0002-0, …\)"),
        (lambda f: f.assign(label=f["label"] + "x"), r"different labels: 2 \(ax, bx\) only in the first"),
        (lambda f: f.assign(patient_id="p0"), "different patients for 120"),
        (lambda f: pd.concat([f, f[:1]]), "come twice for one fraction and seed"),
        (lambda f: f[:0], "holds no prediction"),
    ],
)
def test_predictions_that_cannot_be_paired_are_errors(study, change, message):
    study.add(scores(1), "mgca", "real")
    study.add(change(scores(2)), "mgca", "synthetic")
    with pytest.raises(job.JobError, match=message):
        study.compare()


def test_boxes_without_their_images_are_errors(study):
    frame = boxes(1.0)
    study.add(frame[(frame["rank"] >= 0) | (frame["study_id"] != "s000")], "mgca", "real", task="detection")
    with pytest.raises(job.JobError, match="boxes in 2 rows lie in studies that have no row with rank -1"):
        study.compare()


def test_wrong_files_and_lists_are_named(study):
    with pytest.raises(job.JobError, match="no file in predictions"):
        study.compare()
    study.add(masks(0), "mgca", "real", task="segmentation")
    study.lists["tasks"][0] = "classification"
    with pytest.raises(job.JobError, match="not a table of classification predictions: it has no column target, score"):
        study.compare()
    study.lists["datasets"].append("more")
    with pytest.raises(job.JobError, match="datasets has 2 entries for 1 files"):
        study.compare()


def test_a_missing_reference_is_said_and_not_an_error(study, caplog):
    study.add(scores(1), "mgca", "synthetic")
    with caplog.at_level(logging.INFO, "synvlp"):
        frame = study.compare()
    assert (frame["reference_method"] == "").all()
    assert "MGCA, synthetic has no real to compare with" in caplog.text
    assert "no encoder of source real" in (study.folder / "markdown").read_text()


def test_reruns_give_the_same_bytes_in_any_order_of_files(study):
    for source, noise in (("real", 1), ("synthetic", 2)):
        for encoder_seed in (0, 1):
            frame = scores(noise + 10 * encoder_seed, fractions=(0.1, 1.0))
            study.add(frame.sample(frac=1, random_state=0), "mgca", source, encoder_seed)
    study.add(masks(9), "mgca", "real", task="segmentation", dataset="lungs")
    names = ("comparison", "csv", "markdown")
    study.compare()
    before = [(study.folder / name).read_bytes() for name in names]
    study.paths.reverse()
    study.lists = {name: values[::-1] for name, values in study.lists.items()}
    study.compare()
    assert before == [(study.folder / name).read_bytes() for name in names]


def test_names_are_escaped_in_markdown(study):
    study.add(scores(1), "mgca", "real", dataset="<b>&_%")
    study.add(scores(2), "mgca", "a|b", dataset="<b>&_%")
    study.compare()
    text = (study.folder / "markdown").read_text()
    assert r"| &lt;b&gt;&amp;\_% |" in text
    assert r"MGCA, a\|b" in text
    assert "<b>" not in text


def test_a_split_on_which_nothing_is_defined_gives_no_rows(study, caplog):
    study.add(scores(1).assign(target=0), "mgca", "real")
    study.add(scores(2).assign(target=0), "random", "none")
    with caplog.at_level(logging.INFO, "synvlp"):
        frame = study.compare()
    assert frame.empty
    assert "chest: 3 figures are not defined on this test split and left out" in caplog.text
