import json

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from synvlp import job
from synvlp.store import files, tables
from synvlp.tasks import classification, scores


def data_set(folder, signal: float, kind: str = "multilabel", patients: int = 150):
    """Features whose first numbers carry the labels with the given strength; two samples a patient."""
    rng = np.random.default_rng(5)
    count = 2 * patients
    if kind == "exclusive":
        targets = np.eye(3, dtype=int)[rng.integers(0, 3, count)]
        labels = ["a", "b", "c"]
    else:
        targets = (rng.random((count, 2)) < (0.4, 0.2)).astype(int)
        labels = ["a", "b"]
    features = rng.normal(size=(count, 20)).astype(np.float32)
    features[:, : len(labels)] += signal * targets
    split = np.array(["train", "train", "train", "val", "test"])[np.arange(count) // 2 % 5]
    samples = pd.DataFrame(
        {
            "study_id": [f"s{i:04d}" for i in range(count)],
            "patient_id": [f"p{i // 2:04d}" for i in range(count)],
            "split": split,
            "labels": [[labels[j] for j in np.flatnonzero(row)] for row in targets],
        }
    )
    tables.write(samples, folder / "samples.parquet", tables.SAMPLES)
    np.save(folder / "features.npy", features)
    files.write_json(folder / "description.json", {"task": "classification", "labels": labels, "kind": kind})
    return classification.Inputs(
        features=folder / "features.npy", samples=folder / "samples.parquet", description=folder / "description.json"
    )


def classify(inputs, folder, **settings):
    folder.mkdir(exist_ok=True)
    outputs = classification.Outputs(metrics=folder / "metrics.json", predictions=folder / "predictions.parquet")
    settings = {"fractions": [0.1, 1.0], "seeds": [0, 1]} | settings
    job.execute("classify", classification, classification.Settings(**settings), inputs, outputs)
    return json.loads(outputs.metrics.read_text())["results"], outputs


@pytest.mark.parametrize("probe", ["logistic", "adamw"])
def test_a_planted_signal_is_found_and_noise_is_not(tmp_path, probe):
    settings = {"probe": probe, "rate": 0.02}
    (found, *_), _ = classify(data_set(tmp_path, 2.5), tmp_path / "out", fractions=[1.0], seeds=[0], **settings)
    assert found["metrics"]["auroc"] > 0.9 and found["metrics"]["f1"] > 0.6
    (noise, *_), _ = classify(data_set(tmp_path, 0.0), tmp_path / "out", fractions=[1.0], seeds=[0], **settings)
    assert 0.3 < noise["metrics"]["auroc"] < 0.7


@pytest.mark.parametrize("probe", ["logistic", "adamw"])
def test_exclusive_classes_have_accuracy_and_probabilities(tmp_path, probe):
    entries, paths = classify(data_set(tmp_path, 3.0, "exclusive"), tmp_path / "out", probe=probe, rate=0.02)
    full = entries[-1]["metrics"]
    assert full["accuracy"] > 0.75 and full["auroc"] > 0.9
    rows = tables.read(paths.predictions, tables.CLASSIFICATION)
    sums = rows.groupby(["fraction", "seed", "study_id"])[["score", "target"]].sum()
    assert np.allclose(sums, 1)
    last = rows[(rows["fraction"] == 1) & (rows["seed"] == 1)]
    best = last.loc[last.groupby("study_id")["score"].idxmax()]
    assert best["target"].mean() == pytest.approx(full["accuracy"])


def test_metrics_follow_from_the_predictions(tmp_path):
    from sklearn.metrics import roc_auc_score

    entries, paths = classify(data_set(tmp_path, 1.0), tmp_path / "out")
    rows = tables.read(paths.predictions, tables.CLASSIFICATION)
    samples = tables.read(tmp_path / "samples.parquet", tables.SAMPLES).set_index("study_id")
    assert set(rows["study_id"]) == set(samples.index[samples["split"] == "test"])
    for entry in entries:
        own = rows[(rows["fraction"] == entry["fraction"]) & (rows["seed"] == entry["seed"])]
        for label, part in own.groupby("label"):
            assert roc_auc_score(part["target"], part["score"]) == pytest.approx(entry["metrics"][f"auroc/{label}"])
            truth = [label in samples.loc[study, "labels"] for study in part["study_id"]]
            assert (part["target"] == truth).all()


def test_seeds_coincide_at_fraction_one_alone(tmp_path):
    entries, _ = classify(data_set(tmp_path, 1.0), tmp_path / "out")
    by_run = {(entry["fraction"], entry["seed"]): entry["metrics"] for entry in entries}
    assert by_run[1.0, 0] == by_run[1.0, 1]
    assert by_run[0.1, 0] != by_run[0.1, 1]
    assert [entry["train_patients"] for entry in entries] == pytest.approx([9, 9, 90, 90], abs=2)


def test_logistic_probe_is_scikit_learns_on_standardised_features(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inputs = data_set(tmp_path, 1.0)
    _, paths = classify(inputs, tmp_path / "out", fractions=[1.0], seeds=[0], grid=[0.1])
    features, samples = np.load(inputs.features), tables.read(inputs.samples, tables.SAMPLES)
    target = np.array(["a" in own for own in samples["labels"]])
    train, test = samples["split"] == "train", samples["split"] == "test"
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-8)).fit(features[train], target[train])
    rows = tables.read(paths.predictions, tables.CLASSIFICATION)
    assert rows.loc[rows["label"] == "a", "score"].to_numpy() == pytest.approx(
        model.predict_proba(features[test])[:, 1], abs=1e-3
    )


@pytest.mark.parametrize("select", ["auroc", "log_loss"])
def test_the_penalty_is_the_best_on_validation(tmp_path, select):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss, roc_auc_score
    from sklearn.preprocessing import StandardScaler

    inputs, grid = data_set(tmp_path, 0.7), [1e-5, 0.01, 100.0]
    (entry, *_), _ = classify(inputs, tmp_path / "out", fractions=[1.0], seeds=[0], grid=grid, select=select)
    features, samples = np.load(inputs.features), tables.read(inputs.samples, tables.SAMPLES)
    train, val = samples["split"] == "train", samples["split"] == "val"
    scaler = StandardScaler().fit(features[train])
    for label, chosen in entry["chosen"].items():
        target = np.array([label in own for own in samples["labels"]])
        values = []
        for c in grid:
            model = LogisticRegression(C=c, tol=1e-8).fit(scaler.transform(features[train]), target[train])
            score = model.predict_proba(scaler.transform(features[val]))[:, 1]
            values.append(roc_auc_score(target[val], score) if select == "auroc" else -log_loss(target[val], score))
        assert values[grid.index(chosen)] == pytest.approx(max(values), abs=2e-3)


class Killed(Exception):
    pass


@pytest.mark.parametrize(("probe", "saves"), [("logistic", 2), ("adamw", 25)])
def test_a_killed_job_goes_on_to_the_same_bytes(tmp_path, monkeypatch, probe, saves):
    inputs = data_set(tmp_path, 1.0, patients=60)
    settings = {"probe": probe, "epochs": 5, "batch": 16}
    _, whole = classify(inputs, tmp_path / "whole", **settings)
    monkeypatch.setenv("SYNVLP_CHECKPOINT_SECONDS", "0")
    save = job.Scratch.save
    done = []

    def dying(self, state):
        save(self, state)
        self._cost = 0.0
        done.append(1)
        if len(done) == saves:
            raise Killed

    monkeypatch.setattr(job.Scratch, "save", dying)
    with pytest.raises(Killed):
        classify(inputs, tmp_path / "part", **settings)
    _, part = classify(inputs, tmp_path / "part", **settings)
    assert len(done) > saves
    for one, other in zip(whole.paths(), part.paths(), strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert not list((tmp_path / "scratch").glob("*-*"))


def test_files_that_do_not_belong_together_are_named(tmp_path):
    inputs = data_set(tmp_path, 1.0)
    np.save(inputs.features, np.zeros((7, 4), np.float32))
    with pytest.raises(job.JobError, match=r"300 rows.*has 7"):
        classify(inputs, tmp_path / "out")
    files.write_json(inputs.description, {"task": "detection", "labels": ["a"]})
    with pytest.raises(job.JobError, match="for detection, not for classification"):
        classify(inputs, tmp_path / "out")
    with pytest.raises(ValidationError, match="grid"):
        classify(inputs, tmp_path / "out", grid=[0.0])


def test_thresholds_come_from_validation(tmp_path):
    """F1 at a threshold chosen on the test split itself would be at least as high."""
    entries, paths = classify(data_set(tmp_path, 0.5), tmp_path / "out", fractions=[1.0], seeds=[0])
    rows = tables.read(paths.predictions, tables.CLASSIFICATION)
    for label, own in rows.groupby("label"):
        truth, score = own["target"].to_numpy(), own["score"].to_numpy()
        best = scores.f1(truth, score >= scores.best_threshold(truth, score))
        assert entries[0]["metrics"][f"f1/{label}"] <= best
