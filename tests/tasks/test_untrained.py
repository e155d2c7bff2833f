"""Zero-shot classification, retrieval and grounding: each metric against a library or a plain loop, and as jobs."""

import numpy as np
import pandas as pd
import pytest

from synvlp import job
from synvlp.models import retrieval as ranking
from synvlp.store import files, tables
from synvlp.tables import comparison
from synvlp.tasks import (
    classification_set,
    detection_set,
    grounding,
    retrieval,
    retrieval_set,
    segmentation_set,
    untrained,
    zero_shot,
)

SETS = {"classification": classification_set, "segmentation": segmentation_set, "detection": detection_set}
POSITIVE = [
    "disc: A disc is present",
    "disc: A disc is seen in the image",
    "bar: A bar is seen",
    "bar: A bar is present",
]
NEGATIVE = ["disc: There is no disc", "bar: No bar."]
PHRASES = ["disc: a disc", "bar: a bar in the image"]


@pytest.fixture(scope="module")
def datasets(corpus, tmp_path_factory):
    """Task -> the files of a data set, as inputs of the jobs."""
    folder, found = tmp_path_factory.mktemp("datasets"), {}
    for task, module in SETS.items():
        choice = {"labels": ["disc", "bar"]} if task == "classification" else {"set": "shapes"}
        inputs = {name: getattr(corpus, name) for name in module.Inputs.model_fields}
        found[task] = {name: folder / task / name for name in module.Outputs.model_fields}
        module.run(module.Settings(**choice), module.Inputs(**inputs), module.Outputs(**found[task]))
    found["retrieval"] = retrieval_files(corpus, folder / "retrieval")
    return found


def retrieval_files(corpus, folder, **choice):
    """A retrieval data set of texts that say what is drawn, many of them equal but for case and points."""
    studies = tables.read(corpus.studies, tables.STUDIES)
    words = {"": "Noise and nothing else", "bar": "A bar is seen", "disc": "A disc is present"}
    texts = [
        f"{' and '.join(words[label] for label in own if label in words) or words['']}{'.' * (row % 3)}"
        for row, own in enumerate(studies["labels"])
    ]
    origin = np.where(np.arange(len(studies)) % 20 == 19, "caption", "report")
    frame = studies[["study_id", "patient_id", "split"]].assign(text=texts, prompt=texts, origin=origin)
    folder.mkdir(exist_ok=True)
    tables.write(frame, folder / "prompts.parquet", tables.PROMPTS)
    found = {name: folder / name for name in retrieval_set.Outputs.model_fields}
    inputs = {"studies": corpus.studies, "images": corpus.images, "prompts": folder / "prompts.parquet"}
    settings = retrieval_set.Settings(**({"labels": ["disc", "bar"]} | choice))
    retrieval_set.run(settings, retrieval_set.Inputs(**inputs), retrieval_set.Outputs(**found))
    return found


@pytest.fixture
def done(aligned, datasets, tmp_path):
    """A function that runs a task's job and gives its metrics.json, its predictions and where they lie."""

    def run(module, dataset, method="gloria", **choice):
        folder = tmp_path / f"{module.TASK['name']}-{dataset}-{method}"
        outputs = module.Outputs(**{name: folder / f"{name}.png" for name in module.Outputs.model_fields})
        inputs = {name: path for name, path in datasets[dataset].items() if name in module.Inputs.model_fields}
        module.run(module.Settings(**choice), module.Inputs(**aligned[method], **inputs), outputs)
        table = tables.ZERO_SHOT if module is zero_shot else tables.MEASURED
        return files.read_json(outputs.metrics), tables.read(outputs.predictions, table), outputs

    return run


def recomputed(task, outputs, folder, exclusive=()):
    """The comparison's own values of one encoder, and those of chance."""
    settings = comparison.Settings(
        tasks=[task], datasets=["drawn"], methods=["gloria"], sources=["real"], encoder_seeds=[0], resamples=100,
        exclusive=list(exclusive),
    )  # fmt: skip
    written = comparison.Outputs(**{name: folder / name for name in comparison.Outputs.model_fields})
    comparison.run(settings, comparison.Inputs(predictions=[outputs.predictions]), written)
    frame = tables.read(written.comparison, tables.COMPARISON)
    assert (frame.reference_method == "").all() and (frame.low <= frame.high).all()
    return [frame[frame.method == method].set_index("metric")["value"].to_dict() for method in ("gloria", "chance")]


def test_zero_shot_metrics_are_those_of_scikit_learn_and_of_the_comparison(done, tmp_path):
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    content, frame, outputs = done(zero_shot, "classification", positive=POSITIVE, negative=NEGATIVE, similarity="both")
    (entry,) = content["results"]
    assert (content["task"], entry["fraction"], entry["train_samples"]) == ("zero-shot", 0.0, 0)
    metrics = entry["metrics"]
    for label, own in frame.groupby("label"):
        assert metrics[f"auroc/{label}"] == pytest.approx(roc_auc_score(own.target, own.score))
        assert metrics[f"f1/{label}"] == pytest.approx(f1_score(own.target, own.predicted))
        assert metrics[f"label_accuracy/{label}"] == pytest.approx(accuracy_score(own.target, own.predicted))
        assert (own.predicted == (own.score >= entry["thresholds"][label])).all()
    own, chance = recomputed("zero-shot", outputs, tmp_path)
    assert own == pytest.approx({name: metrics[name] for name in ("auroc", "f1", "label_accuracy")})
    assert chance == {"auroc": 0.5} == entry["chance"]


def test_zero_shot_thresholds_come_from_validation_and_scores_from_the_sample_alone(done, datasets, aligned, tmp_path):
    _, frame, _ = done(zero_shot, "classification", positive=POSITIVE, negative=NEGATIVE)
    samples = tables.read(datasets["classification"]["samples"], tables.SAMPLES)
    pixels = np.load(datasets["classification"]["pixels"])
    kept = (samples.split != "test") | (np.arange(len(samples)) % 20 > 9)
    tables.write(samples[kept], tmp_path / "samples.parquet", tables.SAMPLES)
    np.save(tmp_path / "pixels.npy", pixels[kept])
    fewer = {"samples": tmp_path / "samples.parquet", "pixels": tmp_path / "pixels.npy"}
    outputs = zero_shot.Outputs(metrics=tmp_path / "m", predictions=tmp_path / "p")
    inputs = zero_shot.Inputs(**aligned["gloria"], **{**datasets["classification"], **fewer})
    zero_shot.run(zero_shot.Settings(positive=POSITIVE, negative=NEGATIVE), inputs, outputs)
    part = tables.read(outputs.predictions, tables.ZERO_SHOT)
    both = part.merge(frame, on=["study_id", "label"])
    assert 0 < len(both) == len(part) < len(frame)
    np.testing.assert_allclose(both.score_x, both.score_y, rtol=1e-5)
    assert (both.predicted_x == both.predicted_y).all()


def test_zero_shot_of_exclusive_classes_is_a_softmax(corpus, aligned, tmp_path):
    made = {name: tmp_path / name for name in classification_set.Outputs.model_fields}
    settings = classification_set.Settings(labels=["disc"], kind="exclusive", otherwise="rest")
    inputs = classification_set.Inputs(studies=corpus.studies, images=corpus.images)
    classification_set.run(settings, inputs, classification_set.Outputs(**made))
    outputs = zero_shot.Outputs(metrics=tmp_path / "m", predictions=tmp_path / "p")
    chosen = zero_shot.Settings(positive=["disc: A disc is present", "rest: Noise and nothing else"])
    zero_shot.run(chosen, zero_shot.Inputs(**aligned["mgca"], **made), outputs)
    frame = tables.read(outputs.predictions, tables.ZERO_SHOT)
    np.testing.assert_allclose(frame.groupby("study_id").score.sum(), 1, rtol=1e-6)
    metrics = files.read_json(outputs.metrics)["results"][0]["metrics"]
    own, _ = recomputed("zero-shot", outputs, tmp_path, exclusive=["drawn"])
    assert own == pytest.approx({name: metrics[name] for name in ("auroc", "f1", "accuracy")})


def test_equal_texts_are_one_and_ties_count_against_the_encoder():
    texts = ["No acute disease.", "no acute  disease", "A nodule.", "An effusion", "No acute disease"]
    group = ranking.distinct(texts)[1]
    assert group.tolist() == [0, 0, 1, 2, 0]
    samples = pd.DataFrame({"study_id": list("abcde"), "patient_id": list("abcde")})
    similarity = np.array([[3, 1, 2], [1, 3, 2], [0, 9, 0], [1, 5, 3], [1, 1, 1]], float)
    assert ranking.text_ranks(similarity, group).tolist() == [1, 3, 1, 2, 3]
    assert retrieval.image_ranks(similarity, group).tolist() == [1, 1, 1]
    rows = retrieval.recalls(samples, similarity, group, [1])
    found, chance = untrained.summarized(rows), untrained.summarized(rows, "chance")
    # Three questions: a third of the images of "no acute disease" find it, the nodule does, the effusion does not.
    assert found["recall_1_image_to_text"] == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert found["recall_1_text_to_image"] == 1
    assert chance["recall_1_image_to_text"] == pytest.approx(1 / 3)
    assert chance["recall_1_text_to_image"] == pytest.approx((3 / 5 + 1 / 5 + 1 / 5) / 3)
    blind = untrained.summarized(retrieval.recalls(samples, np.ones((5, 3)), group, [1, 2]))
    assert set(blind.values()) == {0.0}


def test_recall_is_that_of_a_plain_loop():
    rng = np.random.default_rng(1)
    group = np.array([0, 1, 0, 2, 3, 1, 4, 5])
    similarity = rng.normal(size=(8, 6))
    samples = pd.DataFrame({"study_id": list("abcdefgh"), "patient_id": list("aabbccdd")})
    for k in (1, 2, 4):
        rows = retrieval.recalls(samples, similarity, group, [k])
        to_text, to_image = [], []
        for text in range(6):
            own = np.flatnonzero(group == text)
            to_text.append(np.mean([text in np.argsort(-similarity[image])[:k] for image in own]))
            best = own[np.argmax(similarity[own, text])]
            others = [image for image in range(8) if image == best or group[image] != text]
            to_image.append(best in sorted(others, key=lambda image: -similarity[image, text])[:k])
        found = untrained.summarized(rows)
        assert found[f"recall_{k}_image_to_text"] == pytest.approx(np.mean(to_text))
        assert found[f"recall_{k}_text_to_image"] == pytest.approx(np.mean(to_image))
    assert retrieval.hit_by_chance(8, 2, 3) == pytest.approx(1 - (6 * 5 * 4) / (8 * 7 * 6))


def test_precision_counts_ties_as_much_as_there_is_room():
    from itertools import permutations

    scores, right = np.array([[2.0, 1, 1, 1, 0]]), np.array([[True, False, True, True, True]])
    expected = np.mean([(1 + int(right[0, order[0]])) / 2 for order in permutations([1, 2, 3])])
    assert retrieval.precision_at(scores, right, 2) == pytest.approx([expected])
    labels = [["a"], ["a", "b"], [], ["b", "a"], []]
    assert retrieval.relevance(labels, "same").astype(int).tolist()[1] == [0, 1, 0, 1, 0]
    assert retrieval.relevance(labels, "shared").astype(int).tolist()[0] == [1, 1, 0, 1, 0]
    assert retrieval.relevance(labels, "shared").astype(int).tolist()[2] == [0, 0, 1, 0, 1]


def constant(labels, **choice):
    """Metrics, and chance, of an encoder that answers "No acute disease" to all of ten images, six of them its own."""
    group = np.array([0] * 6 + [1, 2, 3, 4])
    names = [f"s{row}" for row in range(10)]
    samples = pd.DataFrame({"study_id": names, "patient_id": names, "labels": labels})
    settings = retrieval.Settings(**{"precision_at": [1, 2, 5, 6]} | choice)
    rows = pd.concat(retrieval.precisions(samples, np.tile([1.0, 0, 0, 0, 0], (10, 1)), group, settings))
    return untrained.summarized(rows), untrained.summarized(rows, "chance")


def test_precision_counts_equal_texts_as_one():
    found, chance = constant([[]] * 6 + [["a"], ["b"], ["c"], ["d"]])
    assert found == pytest.approx(chance)
    assert [found[f"precision_{k}_image_to_text"] for k in (1, 2, 5)] == pytest.approx([1 / 5] * 3)
    assert "precision_6_image_to_text" not in found  # five different texts
    assert found["precision_6_text_to_image"] == pytest.approx((1 * 6 / 10 + 4 * 1 / 10) / 5)


def test_a_text_of_studies_with_different_labels_is_right_in_part():
    found, chance = constant([["a"], ["a"], [], [], [], [], ["a"], ["b"], ["c"], ["d"]])
    # The first text is "a" by a third; asked for by six images that share one question, and by another "a".
    own = (2 * (1 / 3) + 4 * (2 / 3)) / 6
    assert found["precision_1_image_to_text"] == pytest.approx((own + 1 / 3) / 5)
    assert found["precision_5_image_to_text"] == pytest.approx(chance["precision_5_image_to_text"])
    relevant = retrieval.relevance([["a"], ["b"], ["a"]], "same")
    assert retrieval.by_text(relevant, np.array([0, 0, 1])) == pytest.approx(np.array([[0.5, 1], [0.5, 0], [0.5, 1]]))


def test_retrieval_as_a_job(done, datasets, tmp_path):
    pairs = tables.read(datasets["retrieval"]["texts"], tables.PAIRS)
    assert set(pairs.split) == {"test"} and len(pairs) == 15  # of 20, five have captions alone
    content, frame, outputs = done(retrieval, "retrieval", "mgca", recall_at=[1, 3], precision_at=[5])
    (entry,) = content["results"]
    assert entry["texts"] == pairs.text.str.rstrip(".").nunique() < entry["pairs"] == 15
    assert frame[frame.metric == "recall_1_image_to_text"].weight.sum() == pytest.approx(entry["texts"])
    own, chance = recomputed("retrieval", outputs, tmp_path)
    assert own == pytest.approx(entry["metrics"]) and chance == pytest.approx(entry["chance"])
    with pytest.raises(job.JobError, match="recall_at: k = 16 is above 15"):
        done(retrieval, "retrieval", recall_at=[16])


def test_a_limited_retrieval_set_draws_by_ids_and_too_few_pairs_are_refused(corpus, tmp_path):
    few = tables.read(retrieval_files(corpus, tmp_path / "few", limit=7)["samples"], tables.SAMPLES)
    more = tables.read(retrieval_files(corpus, tmp_path / "more", limit=12)["samples"], tables.SAMPLES)
    assert len(few) == 7 and set(few.study_id) < set(more.study_id)
    with pytest.raises(job.JobError, match="1 studies of the test split have an image and a text"):
        retrieval_files(corpus, tmp_path / "one", limit=1)


def drawn_maps():
    inside = np.zeros((3, 8, 8), bool)
    inside[:, 2:5, 2:5] = True
    maps = np.stack([inside[0] * 1.0, 1.0 - inside[1], np.ones((8, 8))])
    return maps.astype(np.float32), inside


def test_grounding_metrics_on_drawn_maps():
    maps, inside = drawn_maps()
    area = 9 / 64
    assert grounding.pointing(maps, inside) == pytest.approx([1, 0, area])
    assert grounding.mean_iou(maps, inside, [0.1, 0.5]) == pytest.approx([1, 0, area])
    noisy = maps + np.random.default_rng(0).normal(0, 0.1, maps.shape)
    for shown, target, found in zip(noisy, inside, grounding.cnr(noisy, inside), strict=True):
        within, without = shown[target], shown[~target]
        difference = sum(within) / len(within) - sum(without) / len(without)
        assert found == pytest.approx(difference / (np.std(within) ** 2 + np.std(without) ** 2) ** 0.5)
    assert grounding.cnr(noisy, inside)[0] > 3 > -3 > grounding.cnr(noisy, inside)[1]  # published: both are good
    assert grounding.cnr(maps[2:], inside[2:]) == [0]
    tested = pd.DataFrame({"study_id": list("abc"), "patient_id": list("abc")})
    rows = pd.concat(grounding.measure(tested, "x", maps, inside, [0.5]))
    assert untrained.summarized(rows)["miou"] == pytest.approx((1 + 0 + area) / 3)
    assert untrained.summarized(rows, "chance") == pytest.approx(
        {name + end: 0 if name == "cnr" else area for name in ("pointing", "miou", "cnr") for end in ("", "/x")}
    )


def test_maps_are_scaled_and_enlarged():
    maps = np.array([[[0.0, 1.0], [2.0, 4.0]], [[3.0, 3.0], [3.0, 3.0]]])
    found = grounding.scaled(grounding.enlarged(maps, 8))
    assert found.shape == (2, 8, 8) and found[0, -1, -1] == found.max() == 1 and found[0, 0, 0] == 0
    assert not found[1].any()
    two = np.array([[[0.0, 0.0], [1.0, 0.0]]])
    whole = grounding.enlarged(two, 8, "nearest")
    assert whole[0, 4:, :4].all() and whole.sum() == 16
    assert np.argwhere(grounding.enlarged(two, 8)[0] == 1).tolist() == [[r, c] for r in (6, 7) for c in (0, 1)]


@pytest.mark.parametrize(("method", "kind"), [("gloria", "attention"), ("mgca", "local"), ("convirt", "global")])
def test_grounding_as_a_job(done, tmp_path, method, kind):
    content, frame, outputs = done(grounding, "segmentation", method, phrases=PHRASES, shown=3)
    (entry,) = content["results"]
    assert entry["map"] == kind
    assert entry["positives"] == frame[frame.metric == "pointing"].groupby("label").size().to_dict()
    assert outputs.examples.stat().st_size > 1000
    own, chance = recomputed("grounding", outputs, tmp_path)
    assert own == pytest.approx({name: value for name, value in entry["metrics"].items() if "/" not in name})
    assert chance == pytest.approx({name: value for name, value in entry["chance"].items() if "/" not in name})
    assert 0 < chance["pointing"] < 0.2


def test_boxes_are_targets_as_masks_are(aligned, datasets):
    def targets(dataset, *kept):
        given = {name: datasets[dataset][name] for name in ("samples", "pixels", "description", *kept)}
        return grounding.read_masks(grounding.Inputs(**aligned["gloria"], **given), ["bar", "disc"], (100, 64, 64))

    masks, boxes = targets("segmentation", "masks"), targets("detection", "boxes")
    rows = np.arange(100)
    assert (masks(rows, 0) == boxes(rows, 0)).all()  # a bar is its box
    assert (masks(rows, 1) <= boxes(rows, 1)).all() and boxes(rows, 1).sum() > masks(rows, 1).sum() > 0
    with pytest.raises(job.JobError, match="needs masks"):
        targets("detection")
    assert grounding.filled([1.0, 2.0, 2.0, 1.0], 4).astype(int).tolist() == [[0] * 4, [0] * 4, [0, 1, 1, 0], [0] * 4]


def test_phrases_that_a_map_cannot_use_are_refused(done):
    with pytest.raises(job.JobError, match="'bar' is one word"):
        done(grounding, "segmentation", phrases=["{}"])
    with pytest.raises(job.JobError, match="map = attention: mgca has none"):
        done(grounding, "segmentation", "mgca", phrases=PHRASES, map="attention")
    with pytest.raises(job.JobError, match="map = local: convirt has no regions and words"):
        done(grounding, "segmentation", "convirt", phrases=PHRASES, map="local")
    with pytest.raises(job.JobError, match="for classification, not for segmentation or detection"):
        done(grounding, "classification", phrases=PHRASES)
