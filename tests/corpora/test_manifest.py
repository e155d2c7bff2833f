"""Collections with a manifest: the smallest one, every kind of broken input, and the real one where it is."""

import csv
import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synvlp import job
from synvlp.corpora import checks, coco, manifest
from synvlp.store import images, tables

FILES = ("studies.parquet", "reports.parquet", "images.parquet", "annotations.parquet", "rejected.csv")
COLLECTION = Path(os.environ.get("SYNVLP_OPEN_CXR", Path(__file__).parents[3] / "shared/data/open-cxr"))


def pixels(seed=0, height=30, width=40):
    return np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)


class Folder:
    """A small collection: four images of three patients, and a text without an image."""

    columns = ("image_id", "patient_id", "file", "split", "labels", "text", "age", "sex", "view", "lung_mask")

    def __init__(self, path):
        self.path = path
        (path / "images").mkdir(parents=True)
        (path / "masks").mkdir()
        (path / "coco").mkdir()
        self.rows = []
        for number, (patient, split) in enumerate((("p1", "train"), ("p1", "train"), ("p2", "test"), ("p3", "val"))):
            self.save(f"images/x_{number}.png", pixels(number))
            self.add(f"x_{number}", patient, f"images/x_{number}.png", split, "Pneumonia;Effusion")
        self.add("x_text", "p4", "", "train", "No Finding", "Clear lungs.")

    def add(self, image_id, patient_id, file, split, labels="", text="", **more):
        self.rows.append(
            dict(zip(self.columns, (image_id, patient_id, file, split, labels, text), strict=False)) | more
        )

    def save(self, name, array, **options):
        Image.fromarray(array).save(self.path / name, **options)

    def mark(self, name, entries, objects, categories=("opacity",)):
        """A COCO file: entries (file name, more), objects (index of entry, more)."""
        content = {
            "images": [{"id": n, "file_name": file, **more} for n, (file, more) in enumerate(entries, 1)],
            "categories": [{"id": n, "name": category} for n, category in enumerate(categories, 1)],
            "annotations": [
                {"id": n, "image_id": place + 1, "category_id": 1, **more} for n, (place, more) in enumerate(objects, 1)
            ],
        }
        (self.path / "coco" / name).write_text(json.dumps(content))

    def write(self, columns=None):
        names = columns or list(dict.fromkeys((*self.columns, *(key for row in self.rows for key in row))))
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        (self.path / "manifest.csv").write_text(buffer.getvalue(), encoding="utf-8")

    def read(self, **settings):
        out = self.path / "out"
        outputs = manifest.Outputs(**{file.partition(".")[0]: out / file for file in FILES})
        settings = {"image_size": 40, "max_rejected": 1.0, **settings}
        manifest.run(manifest.Settings(**settings), inputs_of(self.path), outputs)
        return Read(outputs)

    def write_checksums(self, text=""):
        """SHA256SUMS of all images and masks, as `sha256sum` writes it, and more lines."""
        paths = sorted([*self.path.glob("images/*"), *self.path.glob("masks/*.png")])
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(self.path)}" for path in paths]
        (self.path / "SHA256SUMS").write_text("\n".join([*lines, text]))


def inputs_of(folder):
    """The inputs of the job as the workflow finds them."""
    found = manifest.beside(str(folder / "manifest.csv"))
    checksums = found.pop("checksums")
    return manifest.Inputs(manifest=folder / "manifest.csv", checksums=checksums[0] if checksums else None, **found)


class Read:
    def __init__(self, outputs):
        self.studies = tables.read(outputs.studies, tables.STUDIES).set_index("study_id")
        self.reports = tables.read(outputs.reports, tables.REPORTS).set_index("study_id")
        self.images = tables.read(outputs.images, tables.IMAGES).set_index("study_id")["image"].map(images.decode)
        self.marks = tables.read(outputs.annotations, tables.ANNOTATIONS)
        self.rejected = pd.read_csv(outputs.rejected, dtype=str, keep_default_na=False)
        self.files = [path.read_bytes() for path in outputs.paths()]

    def reason(self, item):
        """The reason why an item was set aside, "" if it was not."""
        return "; ".join(self.rejected[self.rejected["item"] == item]["reason"])


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "mine")


def test_a_collection_in_order(folder):
    folder.write()
    read = folder.read()
    assert list(read.studies.index) == ["x_0", "x_1", "x_2", "x_3", "x_text"]
    assert read.rejected.empty
    assert read.studies["split"].to_dict() == {
        "x_0": "train",
        "x_1": "train",
        "x_2": "test",
        "x_3": "val",
        "x_text": "train",
    }
    assert list(read.studies.loc["x_0", "labels"]) == ["Pneumonia", "Effusion"]
    assert list(read.studies.loc["x_text", "labels"]) == []
    assert read.studies["labelled"].all()
    assert list(read.reports.index) == ["x_text"]
    assert read.studies.loc["x_text", ["has_image", "has_report", "text_kind"]].tolist() == [False, True, "note"]
    assert set(read.studies["collection"]) == {"x"}
    stored = read.images["x_0"]
    assert stored.shape == (40, 40)
    assert (stored[5:35] == pixels(0)).all()
    assert not stored[:5].any()
    assert not stored[35:].any()


def test_equal_input_gives_equal_bytes(folder):
    folder.write()
    assert folder.read().files == folder.read().files


def test_only_three_columns_are_needed(folder):
    folder.rows.pop()
    folder.write(columns=["image_id", "patient_id", "file"])
    read = folder.read(collection="mine")
    assert len(read.studies) == 4
    assert not read.studies["labelled"].any()
    assert read.studies.groupby("patient_id")["split"].nunique().eq(1).all()
    other = folder.read(split_seed=7)
    assert list(other.studies.index) == list(read.studies.index)


def test_splits_by_hash_have_their_shares(folder):
    from synvlp.corpora import corpus

    splits = pd.Series([corpus.split_of(0, f"p{number}") for number in range(4000)]).value_counts(normalize=True)
    assert splits["train"] == pytest.approx(0.7, abs=0.03)
    assert splits["val"] == pytest.approx(0.1, abs=0.02)


def test_collections_from_column_prefix_or_setting(folder):
    folder.rows[0]["image_id"] = "12_x"
    folder.rows[1] |= {"image_id": "nih_1", "collection": "ward"}
    folder.write()
    read = folder.read(collection="own")
    assert read.studies["collection"].to_dict() == {
        "12_x": "own",
        "nih_1": "ward",
        "x_2": "x",
        "x_3": "x",
        "x_text": "x",
    }


def test_ages_sexes_and_labels(folder):
    for row, age, sex, labels in zip(
        folder.rows,
        ("93", "41.0", "x", "-1", ""),
        ("female", "M", "", "?", ""),
        ("normal", "", "A|B|A", "a; b ;", ""),
        strict=True,
    ):
        row |= {"age": age, "sex": sex, "labels": labels}
    folder.write()
    studies = folder.read().studies
    assert studies["age"].tolist()[:2] == [90, 41]
    assert studies["age"].isna().tolist() == [False, False, True, True, True]
    assert studies["sex"].tolist() == ["F", "M", "", "", ""]
    assert [list(labels) for labels in studies["labels"]] == [[], [], ["A", "B"], ["a", "b"], []]
    assert studies["labelled"].tolist() == [True, False, True, True, False]


def test_lateral_views_are_left_out(folder):
    folder.rows[0]["view"] = "Lateral"
    folder.write()
    read = folder.read(max_rejected=0.0)
    assert read.reason("x_0") == "view left out: Lateral"
    assert "x_0" in folder.read(leave_out_views=[]).studies.index


def test_broken_rows_are_set_aside_and_the_rest_goes_on(folder):
    good = pixels(9)
    folder.save("images/constant.png", np.full((30, 40), 7, np.uint8))
    folder.save("images/tiny.png", pixels(8, 4, 4))
    folder.save("images/cut.jpg", pixels(7, 200, 200))
    cut = folder.path / "images/cut.jpg"
    cut.write_bytes(cut.read_bytes()[:900])
    (folder.path / "images/text.png").write_text("this is no image")
    (folder.path / "images/empty.png").touch()
    folder.save("images/copy.png", pixels(0), compress_level=0)
    folder.save("images/good.png", good)
    folder.save("outside.png", good)
    cases = {
        "constant": ("c1", "images/constant.png", "train", "constant image"),
        "tiny": ("c2", "images/tiny.png", "train", "image too small: 4 x 4 pixels"),
        "cut": ("c3", "images/cut.jpg", "train", "unreadable image: OSError"),
        "text": ("c4", "images/text.png", "train", "unreadable image: UnidentifiedImageError"),
        "empty": ("c5", "images/empty.png", "train", "unreadable image: UnidentifiedImageError"),
        "missing": ("c6", "images/none.png", "train", "missing file"),
        "outside": ("c7", "../mine/outside.png", "train", "path leads out of the collection's folder"),
        "root": ("c8", str(folder.path / "outside.png"), "train", "path leads out of the collection's folder"),
        "dot": ("c8", ".", "train", "missing file"),
        "split": ("c9", "images/good.png", "maybe", "unknown split: expected train, val or test"),
        "nosplit": ("c9", "images/good.png", "", "unknown split: expected train, val or test"),
        "nothing": ("c10", "", "train", "neither an image nor a text"),
        "two": ("p1", "images/good.png", "test", "patient in two splits: test here, train before"),
        "copy": ("c11", "images/copy.png", "test", "copy in two splits: test here, train as x_0"),
        "nobody": ("", "images/good.png", "train", "missing id: image_id and patient_id must be filled"),
    }
    for item, (patient, file, split, _) in cases.items():
        folder.add(item, patient, file, split)
    folder.add("x_1", "c12", "images/good.png", "train")
    folder.add("", "c13", "images/good.png", "train")
    folder.add("fine", "c14", "images/good.png", "test")
    folder.write()
    read = folder.read()
    for item, (_, _, _, reason) in cases.items():
        assert read.reason(item) == reason
    assert read.reason("x_1") == "duplicate id"
    assert read.reason(f"line {len(folder.rows)}") == "missing id: image_id and patient_id must be filled"
    assert list(read.studies.index) == ["fine", "x_0", "x_1", "x_2", "x_3", "x_text"]


def saved(picture: Image.Image, kind: str) -> bytearray:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind)
    return bytearray(buffer.getvalue())


def test_rare_kinds_of_broken_images_are_set_aside_too(folder):
    avif, dds, tiff = (saved(Image.fromarray(pixels(9)), kind) for kind in ("AVIF", "DDS", "TIFF"))
    start = avif.index(b"mdat") + 4
    avif[start:] = bytes(len(avif) - start)
    dds[80:88] = (4).to_bytes(4, "little") + b"NONE"
    place = tiff.index((273).to_bytes(2, "little") + (4).to_bytes(2, "little"))  # StripOffsets, a whole number
    tiff[place + 2] = 7  # bytes
    cases = {
        "avif": (avif, "unreadable image: RuntimeError"),
        "dds": (dds, "unreadable image: NotImplementedError"),
        "tiff": (tiff, "unreadable image: TypeError"),
        "lab": (
            saved(Image.new("LAB", (40, 40)), "TIFF"),
            "unreadable image: mode LAB, which Pillow cannot turn gray",
        ),
    }
    for item, (data, _) in cases.items():
        (folder.path / f"images/{item}").write_bytes(data)
        folder.add(item, item, f"images/{item}", "train")
    folder.write()
    read = folder.read()
    for item, (_, reason) in cases.items():
        assert read.reason(item) == reason
    assert "x_0" in read.studies.index


def test_groups_of_copies_stay_in_one_split(folder):
    for row, group in zip(folder.rows, ("a", "", "a", "b", ""), strict=True):
        row["dup_group"] = group
    folder.write()
    read = folder.read()
    assert read.reason("x_2") == "copy in two splits: test here, train as x_0"
    assert len(read.studies) == 4


def test_changed_files_are_noticed(folder):
    data = (folder.path / "images/x_0.png").read_bytes()
    folder.rows[0]["sha256"] = hashlib.sha256(data).hexdigest()
    folder.rows[1]["sha256"] = "0" * 64
    folder.write()
    read = folder.read()
    assert read.reason("x_0") == ""
    assert read.reason("x_1").startswith("changed file")


def test_broken_copies_are_noticed_where_checksums_are_given(folder):
    mask = np.ones((30, 40), np.uint8)
    for number in range(2):
        folder.save(f"masks/{number}.png", mask)
        folder.rows[number]["lung_mask"] = f"masks/{number}.png"
    folder.write_checksums("\n")
    folder.save("images/new.png", pixels(8))
    folder.add("new", "p8", "images/new.png", "train")
    folder.save("images/x_2.png", pixels(9))
    folder.save("masks/1.png", mask * 2)
    folder.write()
    read = folder.read()
    assert read.reason("x_2") == read.reason("x_1") == "broken copy: its SHA-256 is not that of SHA256SUMS"
    assert list(read.studies.index) == ["new", "x_0", "x_1", "x_3", "x_text"]  # x_1 lost its mask only
    assert list(read.marks["study_id"]) == ["x_0"]
    (folder.path / "SHA256SUMS").unlink()
    assert folder.read().rejected.empty


def test_a_broken_list_of_checksums_names_the_line(folder):
    folder.write()
    folder.write_checksums("5d694e  images/x_0.png\n")
    with pytest.raises(job.JobError, match="SHA256SUMS, line 5: not `sha256sum`'s"):
        folder.read()


def test_what_lies_beside_a_manifest_is_found_without_looking_at_images(folder, monkeypatch):
    folder.mark("b.json", [], [])
    folder.mark("a.json", [], [])
    (folder.path / "masks/lung_classes.json").write_text("{}")
    folder.write_checksums()
    looked = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked.append(Path(path).name) or scandir(path))
    found = manifest.beside(str(folder.path / "manifest.csv"))
    assert {name: [Path(path).name for path in paths] for name, paths in found.items()} == {
        "coco": ["a.json", "b.json"],
        "classes": ["lung_classes.json"],
        "checksums": ["SHA256SUMS"],
    }
    assert set(looked) <= {"coco", "mine"}
    assert manifest.beside("nowhere/manifest.csv") == {"coco": [], "classes": [], "checksums": []}


def test_rows_with_too_many_cells(folder):
    folder.write()
    path = folder.path / "manifest.csv"
    path.write_text(path.read_text() + "x_9,p9,images/x_0.png,train,a,b,,,,,,too,many\n\n")
    assert folder.read().reason("x_9") == "wrong number of cells: 13 where the header has 10"


def test_too_many_rejected_rows_stop_the_run(folder):
    folder.add("gone", "p9", "images/gone.png", "train")
    folder.write()
    with pytest.raises(job.JobError, match=r"1 of 6 inputs were rejected, more than max_rejected = 0\.1 allows"):
        folder.read(max_rejected=0.1)
    assert "missing file" in (folder.path / "out/rejected.stopped.csv").read_text()
    assert len(folder.read(max_rejected=0.2).studies) == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image_id,file\na,b\n", "has no column patient_id"),
        (
            b"image_id;patient_id;file\na;b;c\n",
            "has no column image_id, patient_id, file; its columns, separated by commas",
        ),
        (b"image_id,patient_id,file,text\na,b,c,d\nb,c,d,caf\xe9\n", r"line 3: byte 47 is 0xe9, which is not UTF-8"),
        ("image_id,patient_id,file\na,b,c\n".encode("utf-16"), "line 1: byte 0 is 0xff"),
        (b"image_id,patient_id,file\n", "has no rows"),
        (b"", "has no rows"),
        (b"image_id,patient_id,file,file\na,b,c,d\n", "has column file more than once"),
        (b'image_id,patient_id,file\na,b,c\nd,"e" f,g\n', "line 3: not readable as CSV"),
    ],
)
def test_unusable_manifests_say_what_is_wrong(folder, content, message):
    (folder.path / "manifest.csv").write_bytes(content)
    with pytest.raises(job.JobError, match=message):
        folder.read()


def test_byte_order_mark_and_quoted_lines(folder):
    folder.rows[4]["text"] = 'First line,\n"second" line \ufffd'
    folder.write()
    path = folder.path / "manifest.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert folder.read().reports.loc["x_text", "text"] == 'First line,\n"second" line'


def test_images_of_other_kinds(folder):
    folder.save("images/x_0.png", np.dstack([pixels(0)] * 3))
    folder.save("images/x_1.png", (pixels(1).astype(np.uint16) * 16))
    Image.fromarray(pixels(2)).convert("P").save(folder.path / "images/x_2.png")
    folder.save("images/x_3.png", pixels(3, 300, 200))
    folder.write()
    read = folder.read()
    assert read.rejected.empty
    assert (read.images["x_0"][5:35] == pixels(0)).all()
    assert np.abs(read.images["x_1"][5:35].astype(int) - pixels(1)).max() <= 1
    assert read.images["x_3"].shape == (40, 40)
    assert not read.images["x_3"][:, :6].any()


def test_lung_masks(folder):
    mask = np.zeros((30, 40), np.uint8)
    mask[3:20, 2:15], mask[3:20, 25:38] = 1, 2
    folder.save("masks/good.png", mask)
    Image.fromarray(mask).convert("P").save(folder.path / "masks/palette.png")
    folder.save("masks/small.png", mask[:15])
    folder.save("masks/other.png", mask * 3)
    for row, name in zip(folder.rows, ("good", "palette", "small", "other"), strict=False):
        row["lung_mask"] = f"masks/{name}.png"
    folder.write()
    read = folder.read()
    assert read.reason("x_2") == "mask of another size: 40 x 15 on an image of 40 x 30"
    assert read.reason("x_3") == "unknown class in mask: 3"
    assert len(read.studies) == 5  # the studies themselves are in order
    marks = read.marks[read.marks["study_id"] == "x_0"].set_index("category")
    assert set(read.marks["set"]) == {"lung_masks"}
    right = images.decode(marks.loc["right_lung", "mask"]) > 0
    assert (right[5:35] == (mask == 1)).all()
    assert right.sum() == (mask == 1).sum()


def test_empty_and_colour_masks(folder):
    folder.save("masks/empty.png", np.zeros((30, 40), np.uint8))
    folder.save("masks/colour.png", np.zeros((30, 40, 3), np.uint8))
    folder.rows[0]["lung_mask"], folder.rows[1]["lung_mask"] = "masks/empty.png", "masks/colour.png"
    folder.rows[2]["lung_mask"] = "masks/none.png"
    folder.write()
    read = folder.read()
    assert read.reason("x_0") == "empty mask"
    assert read.reason("x_1").startswith("unreadable mask: mode RGB")
    assert read.reason("x_2") == "missing file"


def test_semantic_masks_are_named_by_their_classes(folder):
    mask = np.zeros((30, 40), np.uint8)
    mask[0, 0], mask[5:9, 5:9] = 4, 7
    folder.save("masks/s.png", mask)
    (folder.path / "masks/semantic_classes.json").write_text('{"0": "background", "4": "clip", "7": "tube"}')
    folder.rows[0]["semantic_mask"] = "masks/s.png"
    folder.write()
    marks = folder.read(image_size=32).marks
    assert marks["category"].tolist() == ["clip", "tube"]
    assert all(images.decode(mask).any() for mask in marks["mask"])  # a single pixel survives the resizing
    (folder.path / "masks/semantic_classes.json").write_text("[1]")
    with pytest.raises(job.JobError, match="semantic_classes"):
        folder.read()
    (folder.path / "masks/semantic_classes.json").write_text('{"0": "", "4": "clip", "7": ""}')
    with pytest.raises(job.JobError, match="class 7 has no name"):
        folder.read()


def test_boxes_are_moved_with_their_image(folder):
    folder.mark(
        "finds_train.json",
        [("images/x_0.png", {"width": 40, "height": 30}), ("images/x_1.png", {})],
        [(0, {"bbox": [0, 0, 20, 15]})],
    )
    folder.mark("finds_test.json", [("any name", {"image_id": "x_2"})], [(0, {"bbox": [10, 10, 30.4, 20.4]})])
    folder.write()
    marks = folder.read(image_size=80).marks
    assert set(marks["set"]) == {"finds"}
    boxes = marks.set_index("study_id")[["x", "y", "width", "height"]]
    assert boxes.loc["x_0"].tolist() == [0, 10, 40, 30]
    assert boxes.loc["x_2"].tolist() == [20, 30, 60, 40]  # less than a pixel outside is rounding
    assert marks.set_index("study_id").loc["x_1", "category"] == ""
    assert boxes.loc["x_1"].isna().all()


@pytest.mark.parametrize(
    ("entry", "annotation", "reason"),
    [
        ({}, {"bbox": [30, 10, 20, 5]}, "box outside its image"),
        ({}, {"bbox": [-5, 10, 20, 5]}, "box outside its image"),
        ({}, {"bbox": [3, 10, 0, 5]}, "empty box"),
        ({}, {"bbox": [3, 10, float("nan"), 5]}, "empty box"),
        ({}, {"bbox": [3, 10, 5]}, "malformed box: four numbers are expected"),
        ({}, {"bbox": ["a", 10, 5, 5]}, "malformed box: four numbers are expected"),
        ({}, {"bbox": []}, "object without box and mask"),
        (
            {"width": 400, "height": 300},
            {"bbox": [3, 3, 5, 5]},
            "image of another size: 400 x 300, the file is 40 x 30",
        ),
        (
            {},
            {"segmentation": {"size": [15, 40], "counts": [0, 600]}},
            "mask of another size: 40 x 15 on an image of 40 x 30",
        ),
        (
            {},
            {"segmentation": {"size": [30, 40], "counts": [5, 10**9]}},
            "malformed segmentation: its runs do not fill its size",
        ),
        (
            {},
            {"segmentation": {"size": [30, 40], "counts": "\u00e9"}},
            "malformed segmentation: unknown characters in its runs",
        ),
        ({}, {"segmentation": {"size": [30, 40], "counts": "oo"}}, "malformed segmentation"),
        ({}, {"segmentation": [[1, 2, 3, 4]]}, "malformed segmentation: a polygon needs three points"),
        ({}, {"segmentation": 5}, "malformed segmentation"),
        ({}, {"segmentation": [[50, 40, 60, 40, 60, 50]]}, "empty mask"),
        ({}, {"segmentation": {"size": [30, 40], "counts": [1200]}}, "empty mask"),
    ],
)
def test_one_bad_object_takes_its_image_out_of_the_set(folder, entry, annotation, reason):
    good = {"bbox": [1, 1, 5, 5]}
    folder.mark(
        "finds.json", [("images/x_0.png", entry), ("images/x_1.png", {})], [(0, good), (0, annotation), (1, good)]
    )
    folder.write()
    read = folder.read()
    assert read.reason("x_0") == reason
    assert read.marks["study_id"].tolist() == ["x_1"]
    assert "x_0" in read.studies.index


def test_a_duplicate_that_was_set_aside_leaves_no_mask(folder):
    mask = np.zeros((30, 40), np.uint8)
    for name, number in (("m1", 1), ("m2", 2)):
        folder.save(f"masks/{name}.png", mask + number)
    folder.rows[0]["lung_mask"] = "masks/m1.png"
    folder.save("images/b.png", pixels(9))
    folder.add("x_0", "p9", "images/b.png", "train", lung_mask="masks/m2.png")
    folder.write()
    read = folder.read()
    assert read.reason("x_0") == "duplicate id"
    assert read.marks[["study_id", "category"]].values.tolist() == [["x_0", "right_lung"]]


def test_masks_of_a_row_without_an_image_are_listed(folder):
    folder.rows[4]["lung_mask"] = "masks/m.png"
    folder.write()
    read = folder.read()
    assert read.reason("x_text") == "mask without an image"
    assert "x_text" in read.studies.index


def test_a_copy_that_was_set_aside_takes_no_boxes(folder):
    folder.add("y_0", "p9", "images/x_0.png", "test")
    folder.mark("finds.json", [("images/x_0.png", {})], [(0, {"bbox": [1, 1, 5, 5]})])
    folder.write()
    read = folder.read()
    assert list(read.rejected["item"]) == ["y_0"]
    assert list(read.marks["study_id"]) == ["x_0"]


def test_boxes_of_a_duplicate_that_was_set_aside_go_to_nobody(folder):
    folder.save("images/b.png", pixels(9))
    folder.add("x_0", "p9", "images/b.png", "train")
    folder.mark("finds.json", [("images/b.png", {})], [(0, {"bbox": [1, 1, 5, 5]})])
    folder.write()
    read = folder.read()
    assert read.reason("x_0") == "duplicate id"
    assert read.marks.empty


def test_all_studies_of_a_file_get_its_boxes(folder):
    folder.add("y_0", "p1", "images/x_0.png", "train")
    folder.mark("finds.json", [("images/x_0.png", {})], [(0, {"bbox": [1, 1, 5, 5]})])
    folder.write()
    assert list(folder.read().marks["study_id"]) == ["x_0", "y_0"]


def test_marks_of_no_image_are_listed(folder):
    folder.mark("finds.json", [("", {}), ("any name", {"image_id": "x_text"})], [(0, {"bbox": [1, 1, 5, 5]})])
    folder.write()
    read = folder.read()
    assert read.reason("finds") == read.reason("x_text") == "image not in the manifest"


def test_no_second_entry_stands_in_for_one_that_was_set_aside(folder):
    entries = [("images/x_0.png", {}), ("images/x_0.png", {})]
    folder.mark("finds.json", entries, [(0, {"bbox": [3, 10, 0, 5]}), (1, {"bbox": [1, 1, 5, 5]})])
    folder.write()
    read = folder.read()
    assert read.reason("x_0") == "empty box; marked twice in set finds"
    assert read.marks.empty


def test_a_set_has_either_the_mask_or_the_coco_file(folder):
    folder.save("masks/m.png", np.ones((30, 40), np.uint8))
    folder.rows[0]["lung_mask"] = "masks/m.png"
    folder.mark("lung_masks.json", [("images/x_0.png", {})], [(0, {"bbox": [1, 1, 5, 5]})])
    folder.write()
    read = folder.read()
    assert read.reason("x_0") == "marked twice in set lung_masks"
    assert list(read.marks["category"]) == ["right_lung"]


def test_images_with_one_coco_id_are_set_aside(folder):
    entries = [(f"images/x_{number}.png", {"id": id}) for number, id in enumerate((1, 1, 3))]
    good = {"bbox": [1, 1, 5, 5]}
    folder.mark("finds.json", entries, [(0, good), (2, good)])
    folder.write()
    read = folder.read()
    assert read.reason("x_0") == read.reason("x_1") == "COCO id of several images"
    assert list(read.marks["study_id"]) == ["x_2"]


def test_categories_with_one_coco_id_make_the_file_unreadable(folder):
    folder.mark("finds.json", [("images/x_0.png", {})], [(0, {"bbox": [1, 1, 5, 5]})], ("opacity", "nodule"))
    path = folder.path / "coco/finds.json"
    path.write_text(path.read_text().replace('"id": 2, "name"', '"id": 1, "name"'))
    folder.write()
    read = folder.read()
    assert read.reason("finds") == "unreadable COCO file: one id for several categories"
    assert read.marks.empty


def test_objects_without_a_name_do_not_count_as_absent(folder):
    folder.mark("finds.json", [("images/x_0.png", {})], [(0, {"bbox": [1, 1, 5, 5]})], ("",))
    folder.write()
    read = folder.read()
    assert read.reason("finds") == "unreadable COCO file: category without a name"
    assert read.marks.empty


def test_wrong_coco_files(folder):
    folder.mark("a.json", [("images/x_0.png", {}), ("images/unknown.png", {}), ("images/x_0.png", {})], [])
    (folder.path / "coco/b.json").write_text("{")
    (folder.path / "coco/c.json").write_text('{"images": [], "annotations": []}')
    (folder.path / "coco/d.json").write_bytes(b'{"images": "\xff"}')
    (folder.path / "coco/e.json").write_text(
        '{"images": [{"id": 1}], "categories": [], "annotations": [{"image_id": 9}]}'
    )
    folder.add("gone", "p9", "images/gone.png", "train")
    folder.mark("f.json", [("images/gone.png", {})], [])
    folder.write()
    read = folder.read()
    assert read.reason("images/unknown.png") == "image not in the manifest"
    assert read.reason("x_0") == "marked twice in set a"
    assert read.reason("b") == "unreadable COCO file: not JSON"
    assert read.reason("c") == "unreadable COCO file: missing or unknown 'categories'"
    assert read.reason("d") == "unreadable COCO file: byte 12 is not UTF-8"
    assert read.reason("e") == "unreadable COCO file: missing or unknown 9"
    assert read.reason("f") == ""  # its row was set aside already
    with pytest.raises(job.JobError, match="inputs were rejected"):
        folder.read(max_rejected=0.4)


def test_run_length_codes_agree_with_pycocotools():
    from pycocotools import mask as reference

    for seed in range(20):
        rng = np.random.default_rng(seed)
        height, width = rng.integers(8, 200, 2)
        mask = rng.random((height, width)) < rng.choice([0.001, 0.03, 0.5, 0.99])
        fit = checks.Fit(int(width), int(height), 64)
        code = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
        code["counts"] = code["counts"].decode()
        assert (coco.mask_of({"segmentation": code}, fit) == mask).all()


def test_polygons():
    fit = checks.Fit(40, 30, 64)
    mask = coco.mask_of({"segmentation": [[5, 5, 15, 5, 15, 12, 5, 12], [20, 20, 25, 20, 25, 25]]}, fit)
    assert mask.shape == (30, 40)
    assert mask[5:12, 5:15].all()
    assert not mask[:, 30:].any()
    assert mask[21, 24]


def test_a_few_pixels_of_a_large_picture_are_not_lost():
    mask = np.zeros((900, 1000), bool)
    mask[460, 510] = True
    small = checks.Fit(1000, 900, 32).mask(mask)
    assert small.sum() == 1
    assert small[15, 16]


def test_boxes_and_masks_agree_after_resizing():
    """A filled box and its mask cover the same pixels of the stored image, up to rounding."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        width, height = (int(value) for value in rng.integers(20, 500, 2))
        fit = checks.Fit(width, height, int(rng.integers(32, 300)))
        x, y = rng.uniform(0, 0.5, 2) * (width, height)
        box = (float(x), float(y), float(0.4 * width), float(0.4 * height))
        mask = np.zeros((height, width), bool)
        mask[round(y) : round(y + box[3]), round(x) : round(x + box[2])] = True
        left, top, across, down = fit.box(box)
        rows, columns = np.nonzero(fit.mask(mask))
        near = 1.01 + fit.size / max(width, height)
        for found, expected in (
            (columns.min(), left),
            (columns.max() + 1, left + across),
            (rows.min(), top),
            (rows.max() + 1, top + down),
        ):
            assert abs(found - expected) <= near


@pytest.mark.skipif(not (COLLECTION / "manifest.csv").is_file(), reason="open-cxr is not here")
def test_the_real_collection(tmp_path):
    outputs = manifest.Outputs(**{file.partition(".")[0]: tmp_path / file for file in FILES})
    settings = manifest.Settings(image_size=64, max_rejected=0.0)
    manifest.run(settings, inputs_of(COLLECTION), outputs)
    read = Read(outputs)
    assert len(read.studies) == 1354
    assert read.rejected["reason"].str.partition(":")[0].value_counts().to_dict() == {"view left out": 31}
    assert read.studies.groupby(["collection", "split"]).size().to_dict() == {
        ("cov", "test"): 73,
        ("cov", "train"): 247,
        ("cov", "val"): 34,
        ("nih", "test"): 219,
        ("nih", "train"): 704,
        ("nih", "val"): 77,
    }
    objects = read.marks.groupby("set")["category"].value_counts()
    assert objects["opacity"].to_dict() == {"": 210, "lung_opacity": 205}
    assert objects["lungs"].to_dict() == {"left_lung": 354, "right_lung": 354}
    assert objects["lung_masks"].to_dict() == {"left_lung": 215, "right_lung": 215}
    assert objects["lesions"].sum() == 92
    assert objects["nihbox"].sum() == 49
    boxes = read.marks.dropna(subset=["x"])
    assert (boxes["x"] >= 0).all()
    assert (boxes["x"] + boxes["width"] <= 64 + 1e-9).all()
    sick = read.studies[read.studies["labels"].map(lambda labels: "Pneumonia" in labels)]
    assert len(sick[sick["collection"] == "nih"]) > 400
