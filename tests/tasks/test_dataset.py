import json

import numpy as np
import pandas as pd
import pytest

from synvlp import job
from synvlp.store import images, tables
from synvlp.tasks import classification_set, detection_set, segmentation_set


def outputs(module, folder):
    suffixes = {"samples": "parquet", "pixels": "npy", "masks": "npy"}
    names = module.Outputs.model_fields
    return module.Outputs(**{name: folder / f"{name}.{suffixes.get(name, 'json')}" for name in names})


def build(module, corpus, folder, **settings):
    """Run a builder; returns its samples and the paths."""
    paths = outputs(module, folder)
    inputs = {name: getattr(corpus, name) for name in module.Inputs.model_fields}
    job.execute("build", module, module.Settings(**settings), module.Inputs(**inputs), paths)
    return tables.read(paths.samples, tables.SAMPLES), paths


def changed(corpus, folder, table, **columns):
    """The corpus with one of its tables changed by functions of the frame, by column."""
    name = table.name
    frame = tables.read(getattr(corpus, name), table)
    for column, change in columns.items():
        frame[column] = change(frame)
    path = folder / f"{name}.parquet"
    tables.write(frame, path, table)
    return type(corpus)(**{**vars(corpus), name: path})


def test_multilabel_set_has_its_images_row_by_row(corpus, tmp_path):
    samples, paths = build(classification_set, corpus, tmp_path, labels=["bar", "disc"], image_size=32)
    studies = tables.read(corpus.studies, tables.STUDIES).set_index("study_id")
    stored = tables.read(corpus.images, tables.IMAGES).set_index("study_id")["image"]
    pixels = images.read_pixels(paths.pixels)
    assert pixels.shape == (100, 32, 32)
    for row, sample in enumerate(samples.itertuples()):
        known = studies.loc[sample.study_id]
        assert set(sample.labels) == {"bar", "disc"} & set(known["labels"])
        assert (sample.patient_id, sample.split) == (known["patient_id"], known["split"])
        assert np.array_equal(pixels[row], images.resize(images.decode(stored[sample.study_id]), 32))
    assert json.loads(paths.description.read_text())["labels"] == ["bar", "disc"]


def test_keep_and_exclusive_choose_studies(corpus, tmp_path):
    kept, _ = build(classification_set, corpus, tmp_path, labels=["disc"], keep=["disc", "none"])
    studies = tables.read(corpus.studies, tables.STUDIES)
    wanted = [own for own in studies["labels"] if {"disc", "none"} & set(own)]
    assert len(kept) == len(wanted) < 100
    only, _ = build(classification_set, corpus, tmp_path, labels=["disc", "bar"], kind="exclusive")
    assert len(only) == sum(len({"disc", "bar"} & set(own)) == 1 for own in studies["labels"])
    rest, paths = build(
        classification_set, corpus, tmp_path, labels=["disc", "bar"], kind="exclusive", otherwise="clear"
    )
    assert rest["labels"].map(len).eq(1).all()
    assert sum(own[0] == "clear" for own in rest["labels"]) == sum(
        own == ["none"] for own in map(list, studies["labels"])
    )
    assert json.loads(paths.description.read_text())["labels"] == ["disc", "bar", "clear"]


def test_no_finding_can_be_kept_beside_a_label(corpus, tmp_path):
    known = changed(
        corpus,
        tmp_path,
        tables.STUDIES,
        labels=lambda frame: [[] if list(own) == ["none"] else own for own in frame["labels"]],
        labelled=lambda frame: frame["study_id"] != "s0003",
    )
    studies = tables.read(known.studies, tables.STUDIES)
    samples, _ = build(classification_set, known, tmp_path, labels=["disc"], keep=["disc"], keep_no_finding=True)
    clear = studies["labels"].map(len).eq(0) & studies["labelled"].astype(bool)
    wanted = studies[clear | studies["labels"].map(lambda own: "disc" in own) & studies["labelled"].astype(bool)]
    assert list(samples["study_id"]) == list(wanted["study_id"])
    assert len(samples) > sum("disc" in own for own in samples["labels"])


def test_unlabelled_studies_and_those_without_image_are_left_out(corpus, tmp_path):
    some = changed(corpus, tmp_path, tables.STUDIES, labelled=lambda frame: frame["study_id"] > "s0010")
    samples, _ = build(classification_set, some, tmp_path, labels=["disc"])
    assert samples["study_id"].min() == "s0011"
    pictures = tables.read(corpus.images, tables.IMAGES)
    tables.write(pictures[pictures["study_id"] != "s0050"], tmp_path / "images.parquet", tables.IMAGES)
    fewer = type(corpus)(corpus.studies, tmp_path / "images.parquet", corpus.annotations)
    samples, _ = build(classification_set, fewer, tmp_path, labels=["disc"])
    assert len(samples) == 99 and "s0050" not in set(samples["study_id"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ["disc", "hernia"]}, "label hernia, split train: 0 of 60 samples"),
        ({"labels": ["disc"], "keep": ["disc"]}, r"label disc, split train: all \d+ samples"),
        ({"labels": ["disc"], "collection": "elsewhere"}, "collection = elsewhere: there are only drawn"),
        ({"labels": ["disc"], "keep": ["hernia"]}, "keep = hernia"),
        ({"labels": []}, "labels"),
        ({"labels": ["disc", "disc"]}, "labels"),
    ],
)
def test_impossible_classification_sets_are_explained(corpus, tmp_path, settings, message):
    with pytest.raises(job.JobError, match=message):
        build(classification_set, corpus, tmp_path, **settings)


def test_a_label_missing_in_test_is_named(corpus, tmp_path):
    def without(frame):
        test = frame["split"] == "test"
        return [["none"] if here else own for here, own in zip(test, frame["labels"], strict=True)]

    few = changed(corpus, tmp_path, tables.STUDIES, labels=without)
    with pytest.raises(job.JobError, match="label bar, split test: 0 of 20"):
        build(classification_set, few, tmp_path, labels=["bar"])


def test_a_patient_in_two_splits_stops(corpus, tmp_path):
    mixed = changed(
        corpus, tmp_path, tables.STUDIES, split=lambda frame: frame["split"].where(frame["study_id"] != "s0001", "test")
    )
    with pytest.raises(job.JobError, match="in two splits"):
        build(classification_set, mixed, tmp_path, labels=["disc"])


def test_an_unreadable_image_is_named(corpus, tmp_path):
    broken = changed(corpus, tmp_path, tables.IMAGES, image=lambda frame: [b"no image", *frame["image"].iloc[1:]])
    with pytest.raises(job.JobError, match="s0000"):
        build(classification_set, broken, tmp_path, labels=["disc"])


def test_segmentation_set_has_a_channel_per_category_and_keeps_normals(corpus, tmp_path):
    samples, paths = build(segmentation_set, corpus, tmp_path, set="shapes", categories=["disc", "bar"])
    masks = np.load(paths.masks)
    assert masks.shape == (100, 2, 64, 64) and masks.max() == 1
    marks = tables.read(corpus.annotations, tables.ANNOTATIONS)
    for row, sample in enumerate(samples.itertuples()):
        own = marks[marks["study_id"] == sample.study_id].set_index("category")
        assert [label for label, mask in zip(["disc", "bar"], masks[row], strict=True) if mask.any()] == list(
            sample.labels
        )
        if "disc" in own.index:
            assert np.array_equal(masks[row, 0] > 0, images.decode(own.loc["disc", "mask"]) > 127)
        if "bar" in own.index:  # it has a box alone
            rows, columns = np.nonzero(masks[row, 1])
            box = own.loc["bar"]
            assert (rows.min(), rows.max() + 1) == (box["y"], box["y"] + box["height"])
            assert (columns.min(), columns.max() + 1) == (box["x"], box["x"] + box["width"])
    assert sum(not len(own) for own in samples["labels"]) > 20


def test_categories_can_be_merged_and_masks_shrink_with_the_image(corpus, tmp_path):
    _, large = build(segmentation_set, corpus, tmp_path, set="shapes")
    two = np.load(large.masks)
    _, paths = build(segmentation_set, corpus, tmp_path, set="shapes", merge="shape", image_size=32)
    one = np.load(paths.masks)
    assert one.shape == (100, 1, 32, 32)
    whole = two.any(1).reshape(100, 32, 2, 32, 2).sum((2, 4))
    assert (one[:, 0][whole == 4] == 1).all() and (one[:, 0][whole == 0] == 0).all()
    assert json.loads(paths.description.read_text())["labels"] == ["shape"]


def test_detection_set_has_boxes_in_pixels_of_its_images(corpus, tmp_path):
    samples, paths = build(detection_set, corpus, tmp_path, set="shapes", categories=["disc"], image_size=128)
    coco = json.loads(paths.boxes.read_text())
    assert [image["file_name"] for image in coco["images"]] == list(samples["study_id"])
    marks = tables.read(corpus.annotations, tables.ANNOTATIONS)
    discs = marks[marks["category"] == "disc"]
    assert len(coco["annotations"]) == len(discs)
    for box, mark in zip(coco["annotations"], discs.itertuples(), strict=True):
        assert samples["study_id"][box["image_id"] - 1] == mark.study_id
        expected = np.array([mark.x, mark.y, mark.width, mark.height]) * 2
        assert box["bbox"] == pytest.approx(expected.tolist(), abs=1e-3)
        assert box["area"] == pytest.approx(expected[2] * expected[3], abs=0.1)
    assert len(samples) == 100


def test_a_mark_with_a_mask_alone_gets_its_bounding_box(corpus, tmp_path):
    masked = changed(
        corpus, tmp_path, tables.ANNOTATIONS, x=lambda frame: frame["x"].where(frame["category"] == "bar", np.nan)
    )
    _, paths = build(detection_set, masked, tmp_path, set="shapes", categories=["disc"])
    marks = tables.read(corpus.annotations, tables.ANNOTATIONS)
    discs = marks[marks["category"] == "disc"]
    for box, mark in zip(json.loads(paths.boxes.read_text())["annotations"], discs.itertuples(), strict=True):
        assert box["bbox"] == pytest.approx([mark.x, mark.y, mark.width, mark.height], abs=1.01)


def test_only_studies_looked_at_for_the_set_are_taken(corpus, tmp_path):
    marks = tables.read(corpus.annotations, tables.ANNOTATIONS)
    tables.write(marks[marks["study_id"] > "s0019"], tmp_path / "annotations.parquet", tables.ANNOTATIONS)
    fewer = type(corpus)(corpus.studies, corpus.images, tmp_path / "annotations.parquet")
    samples, _ = build(detection_set, fewer, tmp_path, set="shapes")
    assert samples["study_id"].min() == "s0020" and len(samples) == 80


@pytest.mark.parametrize("module", [segmentation_set, detection_set])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"set": "lungs"}, "only these sets: shapes"),
        ({"set": "shapes", "categories": ["lung"]}, "has no lung; it has bar, disc"),
    ],
)
def test_unknown_sets_and_categories_are_named(corpus, tmp_path, module, settings, message):
    with pytest.raises(job.JobError, match=message):
        build(module, corpus, tmp_path, **settings)


def test_a_mask_of_another_size_stops(corpus, tmp_path):
    small = images.encode(np.full((32, 32), 255, np.uint8))
    wrong = changed(
        corpus, tmp_path, tables.ANNOTATIONS, mask=lambda frame: [None if m is None else small for m in frame["mask"]]
    )
    with pytest.raises(job.JobError, match=r"study s\d{4}, set shapes: a mask is \(32, 32\)"):
        build(segmentation_set, wrong, tmp_path, set="shapes")


def test_equal_inputs_give_equal_bytes(corpus, tmp_path):
    first = build(segmentation_set, corpus, tmp_path / "a", set="shapes")[1]
    second = build(segmentation_set, corpus, tmp_path / "b", set="shapes")[1]
    for one, other in zip(first.paths(), second.paths(), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_box_covers_the_pixels_whose_centre_it_holds():
    rows, columns = segmentation_set.box_slices(0.4, -3.0, 2.2, 5.0, 8)
    assert (rows.start, rows.stop) == (0, 2) and (columns.start, columns.stop) == (0, 3)


def test_samples_are_a_known_table(corpus, tmp_path):
    _, paths = build(classification_set, corpus, tmp_path, labels=["disc"])
    assert list(pd.read_parquet(paths.samples).columns) == list(tables.SAMPLES.columns)
