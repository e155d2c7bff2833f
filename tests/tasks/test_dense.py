"""Segmentation and detection as jobs: what they share, and what they write."""

import importlib
import json

import numpy as np
import pytest
from pydantic import ValidationError

from synvlp import cli, job
from synvlp.store import images, tables
from synvlp.tasks import detection, detection_set, fractions, matching, segmentation, segmentation_set, trunk

BUILDERS = {segmentation: segmentation_set, detection: detection_set}
SMALL = {
    segmentation: {"decoder_channels": [16, 16, 8, 8, 8], "rate": 5e-3},
    detection: {"width": 64, "rate": 5e-3},
}
SHORT = {"steps": 6, "validations": 2, "batch": 8, "shown": 4}


@pytest.fixture(scope="session")
def data_sets(corpus, tmp_path_factory):
    """Inputs of both jobs, without the encoder."""
    made = {}
    for task, builder in BUILDERS.items():
        folder = tmp_path_factory.mktemp(builder.__name__)
        suffixes = {"samples": "parquet", "pixels": "npy", "masks": "npy"}
        paths = {name: folder / f"{name}.{suffixes.get(name, 'json')}" for name in builder.Outputs.model_fields}
        inputs = builder.Inputs(**vars(corpus))
        job.execute("build", builder, builder.Settings(set="shapes"), inputs, builder.Outputs(**paths))
        made[task] = paths
    return made


def run(task, data_sets, weights, folder, **settings):
    """Run a job; returns the entries of its metrics, and its outputs."""
    folder.mkdir(exist_ok=True)
    names = {"metrics": "metrics.json", "predictions": "predictions.parquet", "examples": "examples.png"}
    outputs = task.Outputs(**{name: folder / file for name, file in names.items()})
    chosen = SMALL[task] | SHORT | {"fractions": [0.2, 1.0], "seeds": [0]} | settings
    job.execute("probe", task, task.Settings(**chosen), task.Inputs(**weights, **data_sets[task]), outputs)
    return json.loads(outputs.metrics.read_text())["results"], outputs


tasks = pytest.mark.parametrize("task", [segmentation, detection])


def states_of_encoder(monkeypatch):
    """Watch the encoders that are loaded: a list of (network, a copy of its state at the start)."""
    seen = []
    original = trunk.Trunk.__init__

    def watched(self, network, *arguments):
        original(self, network, *arguments)
        seen.append((network, {name: value.clone() for name, value in network.state_dict().items()}))

    monkeypatch.setattr(trunk.Trunk, "__init__", watched)
    return seen


@tasks
@pytest.mark.parametrize("augment", [False, True])
def test_frozen_means_that_no_tensor_of_the_encoder_changes(task, augment, data_sets, encoder, tmp_path, monkeypatch):
    seen = states_of_encoder(monkeypatch)
    run(task, data_sets, encoder, tmp_path, encoder="frozen", augment=augment, fractions=[1.0])
    assert len(seen) == 1
    network, before = seen[0]
    after = network.state_dict()
    assert any("running_mean" in name for name in before)
    for name, value in before.items():
        assert value.equal(after[name]), name


@tasks
def test_tuned_means_that_weights_and_statistics_move_and_each_run_starts_anew(
    task, data_sets, encoder, tmp_path, monkeypatch
):
    seen = states_of_encoder(monkeypatch)
    run(task, data_sets, encoder, tmp_path, encoder="tuned", steps=1)
    assert len(seen) == 2
    for network, before in seen:
        assert all(value.equal(seen[0][1][name]) for name, value in before.items())
        after = network.state_dict()
        assert not before["layer1.0.conv1.weight"].equal(after["layer1.0.conv1.weight"])
        assert not before["layer2.0.bn1.running_mean"].equal(after["layer2.0.bn1.running_mean"])


@tasks
@pytest.mark.parametrize(
    ("settings", "kills"),
    [
        ({"steps": 3}, (2, 6)),  # in the first run's training, and in the second's
        ({"encoder": "tuned", "augment": True, "steps": 2, "batch": 4, "fractions": [0.2]}, (1, 3)),
    ],
)
def test_a_killed_job_goes_on_to_the_same_bytes(task, settings, kills, data_sets, encoder, tmp_path, monkeypatch):
    _, whole = run(task, data_sets, encoder, tmp_path / "whole", **settings)
    monkeypatch.setattr(job.Scratch, "due", lambda self: True)
    save, saves = job.Scratch.save, []

    def dying(self, state):
        save(self, state)
        saves.append(1)
        if len(saves) in kills:
            raise KeyboardInterrupt

    monkeypatch.setattr(job.Scratch, "save", dying)
    for _ in kills:
        with pytest.raises(KeyboardInterrupt):
            run(task, data_sets, encoder, tmp_path / "part", **settings)
    _, part = run(task, data_sets, encoder, tmp_path / "part", **settings)
    for one, other in zip(whole.paths(), part.paths(), strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert not list((tmp_path / "scratch").glob("*-*"))


@tasks
def test_maps_in_memory_give_what_maps_computed_anew_give(task, data_sets, encoder, tmp_path):
    kept, _ = run(task, data_sets, encoder, tmp_path / "kept", fractions=[1.0], steps=2)
    anew, _ = run(task, data_sets, encoder, tmp_path / "anew", fractions=[1.0], steps=2, cache_gb=0.0)
    for name, value in kept[0]["metrics"].items():
        assert anew[0]["metrics"][name] == pytest.approx(value, abs=0.02)


@tasks
def test_fractions_and_seeds_are_as_in_classification(task, data_sets, encoder, tmp_path):
    entries, _ = run(task, data_sets, encoder, tmp_path, steps=1, seeds=[0, 1])
    samples = tables.read(data_sets[task]["samples"], tables.SAMPLES)
    assert [(entry["fraction"], entry["seed"]) for entry in entries] == [(0.2, 0), (0.2, 1), (1.0, 0), (1.0, 1)]
    for entry in entries:
        rows = fractions.rows_of(samples, ["bar", "disc"], (entry["fraction"], entry["seed"]))
        assert entry["train_samples"] == len(rows["train"]) and entry["test_samples"] == len(rows["test"]) == 20


def test_segmentation_learns_and_its_metrics_follow_from_the_counts(data_sets, encoder, tmp_path):
    (entry,), paths = run(segmentation, data_sets, encoder, tmp_path, fractions=[1.0], steps=50, validations=2)
    assert entry["metrics"]["dice_positives/disc"] > 0.6
    rows = tables.read(paths.predictions, tables.SEGMENTATION)
    masks, samples = (
        np.load(data_sets[segmentation]["masks"]),
        tables.read(data_sets[segmentation]["samples"], tables.SAMPLES),
    )
    test = np.flatnonzero(samples["split"] == "test")
    discs = rows[rows["label"] == "disc"]
    assert discs["target_pixels"].tolist() == masks[test, 1].sum((1, 2)).tolist()
    assert (rows["common_pixels"] <= rows[["target_pixels", "predicted_pixels"]].min(axis=1)).all()
    both = rows["target_pixels"] + rows["predicted_pixels"]
    dice = (2 * rows["common_pixels"] / both.where(both > 0, 1)).where(both > 0, 1.0)
    assert dice.groupby(rows["label"]).mean().mean() == pytest.approx(entry["metrics"]["dice"])
    assert images.decode(paths.examples.read_bytes()).std() > 10


def test_detection_learns_and_its_precision_follows_from_the_matches(data_sets, encoder, tmp_path):
    (entry,), paths = run(
        detection, data_sets, encoder, tmp_path, fractions=[1.0], steps=100, validations=2, anchors="clustered"
    )
    metrics = entry["metrics"]
    assert metrics["ap50/disc"] > 0.3
    rows = tables.read(paths.predictions, tables.DETECTION)
    assert len(rows[rows["rank"] == -1]) == 20 * 2  # every test image, with and without objects
    for label, own in rows.groupby("label"):
        found = own[own["rank"] >= 0]
        matched = np.array(found["matched"].tolist()).reshape(-1, 12)
        precision = matching.average_precision(found["score"].to_numpy(), matched, int(own["objects"].sum()))
        assert precision[matching.COCO].mean() == pytest.approx(metrics[f"map/{label}"], abs=1e-6)
        assert precision[matching.PAPERS].mean() == pytest.approx(metrics[f"map_40_75/{label}"], abs=1e-6)
        assert precision[2] == pytest.approx(metrics[f"ap50/{label}"], abs=1e-6)
    ranked = rows[rows["rank"] >= 0].sort_values(["study_id", "label", "rank"])
    assert (ranked.groupby(["study_id", "label"])["score"].diff().dropna() <= 0).all()
    assert images.decode(paths.examples.read_bytes()).std() > 10


def test_images_of_a_size_the_encoder_cannot_halve_are_refused(data_sets, encoder, tmp_path):
    images.write_pixels(tmp_path / "pixels.npy", np.zeros((100, 80, 80), np.uint8), 100, 80)
    wrong = {detection: data_sets[detection] | {"pixels": tmp_path / "pixels.npy"}}
    with pytest.raises(job.JobError, match="multiple of 32"):
        run(detection, wrong, encoder, tmp_path)


def test_files_of_different_data_sets_are_refused(data_sets, encoder, tmp_path):
    boxes = json.loads(data_sets[detection]["boxes"].read_text())
    boxes["categories"].reverse()
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    with pytest.raises(job.JobError, match="categories"):
        run(detection, {detection: data_sets[detection] | {"boxes": tmp_path / "boxes.json"}}, encoder, tmp_path)
    np.save(tmp_path / "masks.npy", np.zeros((100, 3, 64, 64), np.uint8))
    with pytest.raises(job.JobError, match="masks"):
        run(
            segmentation, {segmentation: data_sets[segmentation] | {"masks": tmp_path / "masks.npy"}}, encoder, tmp_path
        )


@tasks
def test_wrong_settings_are_named(task, data_sets, encoder, tmp_path):
    wrong = {segmentation: {"decoder_channels": [8, 8]}, detection: {"levels": []}}[task]
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        run(task, data_sets, encoder, tmp_path, **wrong)


def test_epochs_count_in_passes_over_the_fraction():
    settings = segmentation.Settings(epochs=3, batch=16)
    assert settings.steps_for(33) == 9 and segmentation.Settings(steps=7).steps_for(33) == 7


@pytest.mark.parametrize("verb", [verb for verb, module in cli.VERBS.items() if module.startswith("synvlp.tasks.")])
def test_every_verb_has_a_command_line(verb):
    module = importlib.import_module(cli.VERBS[verb])
    text = cli.parser(verb, module).format_help()
    for part in (module.Inputs, module.Outputs, module.Settings):
        for name in part.model_fields:
            assert f"--{name.replace('_', '-')}" in text
