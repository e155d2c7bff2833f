import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synvlp.tasks import pictures

GRAY = 100


@pytest.fixture
def pixels():
    return np.full((64, 64), GRAY, np.uint8)


def square(low, high):
    mask = np.zeros((64, 64), bool)
    mask[low:high, low:high] = True
    return mask


def test_true_masks_are_outlined_and_predicted_ones_filled(pixels):
    true, predicted = np.stack([square(8, 24), square(0, 0)]), np.stack([square(16, 40), square(0, 0)])
    tile = np.asarray(pictures.of_masks(pixels, true, predicted, ["effusion", "nodule"]))
    tinted = np.rint(0.6 * GRAY + 0.4 * np.array(pictures.PREDICTED))
    assert (tile[4 * 8, 4 * 8] == pictures.TRUE).all()  # a corner of the true mask; images are enlarged four times
    assert (tile[4 * 12, 4 * 12] == GRAY).all()  # inside the outline, not predicted
    assert (tile[4 * 20, 4 * 20] == tinted).all()  # true and predicted
    assert (tile[4 * 30, 4 * 30] == tinted).all()  # predicted alone
    assert (tile[4 * 50, 4 * 50] == GRAY).all()


def test_boxes_have_their_place_and_score(pixels):
    true, predicted = np.array([[8, 8, 16, 16]]), np.array([[32.0, 32, 24, 24]])
    bare = np.asarray(pictures.of_boxes(pixels, true, ["effusion"], np.zeros((0, 4)), [], []))
    tile = np.asarray(pictures.of_boxes(pixels, true, ["effusion"], predicted, ["nodule"], [0.5]))
    assert (tile[4 * 8, 4 * 8 : 4 * 24] == pictures.TRUE).all()
    assert (tile[4 * 12, 4 * 12] == GRAY).all()
    assert (tile[4 * 32, 4 * 32 : 4 * 56] == pictures.PREDICTED).all()
    changed = (tile != bare).any(-1)[:256]
    assert changed[128:225, 128:225].all()
    assert changed.sum() == 97**2  # nothing outside the predicted box; its score stands inside


def test_each_tile_names_what_is_in_it(pixels):
    none, some = np.zeros((2, 64, 64), bool), np.stack([square(8, 24), square(8, 24)])
    nothing = np.asarray(pictures.of_masks(pixels, none, none, ["a", "b"]))[256:]
    both = np.asarray(pictures.of_masks(pixels, some, some, ["a", "b"]))[256:]
    long = np.asarray(pictures.of_masks(pixels, some, some, ["a" * 80, "b"]))[256:]
    for line, colour in ((slice(0, 22), pictures.TRUE), (slice(22, 44), pictures.PREDICTED)):
        assert (both[line] == colour).all(-1).any()
        assert (both[line] != nothing[line]).any()
        assert (long[line, -2:] == pictures.PAPER).all()  # cut to the tile


def test_sheet_has_two_columns_and_a_legend(pixels, tmp_path):
    tile = pictures.of_masks(pixels, *np.zeros((2, 1, 64, 64), bool), ["a"])
    pictures.write(tmp_path / "a.png", [tile] * 3)
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.size == (2 * tile.width + 6, 2 * (tile.height + 6) + 22)
        legend = np.asarray(sheet)[-22:]
    assert all((legend == colour).all(-1).any() for colour in (pictures.TRUE, pictures.PREDICTED))


def test_three_marked_images_are_shown_for_each_one_without():
    samples = pd.DataFrame({"split": ["train"] * 5 + ["test"] * 40, "labels": [["a"]] * 25 + [[]] * 20})
    chosen = pictures.choose(samples, 8)
    assert (samples["split"][chosen] == "test").all()
    assert (samples["labels"][chosen].str.len() == 0).sum() == 2
    assert len(set(chosen)) == 8
