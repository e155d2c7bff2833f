"""The contact sheet."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synvlp import job
from synvlp.images import sheet
from synvlp.models import gallery
from synvlp.store import images, tables

LONG = "Small left pleural effusion with adjacent atelectasis. " * 6


def pixels(value):
    return images.encode(np.full((16, 16), value, np.uint8))


@pytest.fixture
def files(tmp_path):
    ids = [f"s{number}" for number in range(8)]
    synthetic = pd.DataFrame(
        {"study_id": ids, "draw": 0, "image": [pixels(200)] * 8, "prompt": LONG, "seed": 0, "accepted": True}
        | {"reason": "", "mean": 0.0, "deviation": 0.0, "saturated": 0.0}
    )
    tables.write(synthetic, tmp_path / "synthetic.parquet", tables.SHARD)
    real = pd.DataFrame({"study_id": ids[2:], "image": [pixels(100)] * 6})
    tables.write(real, tmp_path / "real.parquet", tables.IMAGES)
    tables.write(real.iloc[:0], tmp_path / "none.parquet", tables.IMAGES)
    prompts = pd.DataFrame({"study_id": ids, "patient_id": ids, "split": ["train"] * 4 + ["val"] * 4})
    prompts = prompts.assign(text=LONG, prompt=LONG, origin="report")
    tables.write(prompts, tmp_path / "prompts.parquet", tables.PROMPTS)
    return tmp_path


def drawn(files, real=None, **settings):
    inputs = sheet.Inputs(
        images=files / "synthetic.parquet",
        prompts=files / "prompts.parquet",
        real=files / f"{real}.parquet" if real else None,
    )
    outputs = sheet.Outputs(sheet=files / "sheet.png")
    sheet.run(sheet.Settings(**{"side": 64, "count": 4, "columns": 2} | settings), inputs, outputs)
    return np.asarray(Image.open(outputs.sheet))


def count(picture, value):
    return int((picture == value).sum())


def test_real_images_stand_beside_synthetic_ones(files):
    picture = drawn(files, "real")
    assert count(picture, 100) >= 4 * 64 * 64
    assert count(picture, 200) >= 4 * 64 * 64
    left = np.argwhere(picture == 100)[:, 1].min()
    assert left < np.argwhere(picture == 200)[:, 1].min()


@pytest.mark.parametrize("real", [None, "none"])
def test_a_corpus_without_images_shows_synthetic_ones_alone(files, real):
    picture = drawn(files, real)
    assert count(picture, 200) >= 4 * 64 * 64
    assert picture.shape[1] < drawn(files, "real").shape[1]


def test_studies_with_a_real_image_come_first(files):
    assert count(drawn(files, "real", split="any", count=6), 100) >= 6 * 64 * 64
    assert count(drawn(files, "real", split="any", count=8, columns=4), 200) >= 8 * 64 * 64


def test_studies_of_the_asked_split_are_shown(files):
    frame = tables.read(files / "synthetic.parquet", tables.SHARD)
    frame["image"] = [pixels(150)] * 4 + [pixels(200)] * 4
    tables.write(frame, files / "synthetic.parquet", tables.SHARD)
    assert count(drawn(files, split="val"), 200) >= 4 * 64 * 64
    assert count(drawn(files, split="train"), 150) >= 4 * 64 * 64
    assert count(drawn(files, split="test", count=8), 200) >= 4 * 64 * 64


def test_equal_inputs_give_equal_bytes(files):
    drawn(files, "real")
    first = (files / "sheet.png").read_bytes()
    drawn(files, "real")
    assert (files / "sheet.png").read_bytes() == first


def test_no_images_are_an_error(files):
    frame = tables.read(files / "synthetic.parquet", tables.SHARD).iloc[:0]
    tables.write(frame, files / "synthetic.parquet", tables.SHARD)
    with pytest.raises(job.JobError, match="holds no image to show"):
        drawn(files)


def test_text_stays_within_its_image():
    font = gallery.ImageFont.load_default(size=12)
    lines = gallery._wrap(LONG + "Pseudopseudohypoparathyroidism" * 3, font, 120, 4)
    assert len(lines) == 4
    assert lines[-1].endswith("…")
    assert all(font.getlength(line) <= 120 for line in lines)
    assert gallery._wrap("No effusion.", font, 120, 4) == ["No effusion."]
