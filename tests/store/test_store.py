"""Files are written whole or not at all; tables are checked; seeds depend on identity alone."""

import errno
import os

import numpy as np
import pandas as pd
import pytest

from synvlp.store import files, images, seeds, tables, weights


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"b": 1, "a": 2})
    before = path.read_bytes()
    with pytest.raises(KeyError), files.replacing(path) as part:
        part.write_text("half")
        raise KeyError
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_seeds_and_shards_depend_on_identity_alone():
    assert seeds.seed_of(0, "s1", 0) == seeds.seed_of(0, "s1", 0)
    assert len({seeds.seed_of(0, f"s{i}", draw) for i in range(1000) for draw in range(3)}) == 3000
    assert seeds.seed_of(1, "11") != seeds.seed_of(11, "1")
    counts = np.bincount([seeds.shard_of(f"s{i}", 8) for i in range(8000)], minlength=8)
    assert counts.min() > 850 and counts.max() < 1150


def test_images_survive_their_encoding():
    pixels = np.random.default_rng(0).integers(0, 256, (31, 17), dtype=np.uint8)
    assert (images.decode(images.encode(pixels)) == pixels).all()
    with pytest.raises(ValueError, match="not a readable image"):
        images.decode(images.encode(pixels)[:60])
    with pytest.raises(ValueError, match="uint8"):
        images.encode(pixels.astype(float))


def test_pixels_are_counted(tmp_path):
    square = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="1 images came for the 2 rows"):
        images.write_pixels(tmp_path / "p.npy", [square], 2, 4)
    assert not (tmp_path / "p.npy").exists()
    images.write_pixels(tmp_path / "p.npy", [square, square + 9], 2, 2)
    assert images.read_pixels(tmp_path / "p.npy").tolist() == [[[0, 0], [0, 0]], [[9, 9], [9, 9]]]


def no_such_call(handle, start, size):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


@pytest.fixture(params=["reserved", "filled", "no such call"])
def room(request, monkeypatch):
    """The ways in which an array's room is reserved."""
    if request.param == "filled":
        monkeypatch.setattr(os, "posix_fallocate", no_such_call)
    elif request.param == "no such call":
        monkeypatch.delattr(os, "posix_fallocate")


def test_an_array_has_its_room_before_it_is_filled(tmp_path, room):
    path = tmp_path / "p.npy"
    array = images.new_array(path, (3, 1000, 1000))
    assert path.stat().st_blocks * 512 >= path.stat().st_size == 128 + 3_000_000
    assert not array.any()
    array[2] = 7
    array.flush()
    assert images.read_pixels(path).sum() == 7_000_000


def test_a_full_disk_is_an_error_before_an_array_is_filled(small_disk, room):
    square = np.zeros((100, 100), np.uint8)
    with pytest.raises(OSError) as full:
        images.write_pixels(small_disk / "p.npy", (square for _ in range(300)), 300, 100)
    assert full.value.errno == errno.ENOSPC
    assert not list(small_disk.iterdir())
    images.write_pixels(small_disk / "p.npy", (square for _ in range(50)), 50, 100)


def test_a_full_disk_has_its_reason_whatever_library_writes(small_disk):
    import torch

    writers = [lambda file: torch.save(torch.zeros(1_000_000), file), lambda file: np.save(file, np.zeros(1_000_000))]
    for write in writers:
        with (
            pytest.raises(OSError) as full,
            files.replacing(small_disk / "a") as part,
            files.written(part) as file,
        ):
            write(file)
        assert full.value.errno == errno.ENOSPC
        assert not list(small_disk.iterdir())


def test_what_a_library_writes_is_what_it_would_write_itself(tmp_path):
    array = np.arange(30_000.0).reshape(100, 300)
    np.save(tmp_path / "a.npy", array)
    with files.written(tmp_path / "b.npy") as file:
        np.save(file, array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    with pytest.raises(KeyError), files.written(tmp_path / "b.npy"):
        raise KeyError


def test_tables_are_sorted_checked_and_equal_to_the_byte(tmp_path):
    frame = pd.DataFrame({"study_id": ["b", "a"], "patient_id": ["p", "q"], "text": ["x", "y"]})
    tables.write(frame, tmp_path / "1.parquet", tables.REPORTS)
    tables.write(frame[::-1], tmp_path / "2.parquet", tables.REPORTS)
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    assert tables.read(tmp_path / "1.parquet", tables.REPORTS)["study_id"].tolist() == ["a", "b"]
    with pytest.raises(tables.TableError, match="has no column"):
        tables.read(tmp_path / "1.parquet", tables.STUDIES)
    with pytest.raises(tables.TableError, match=r"missing columns \['text'\]"):
        tables.write(frame.drop(columns="text"), tmp_path / "3.parquet", tables.REPORTS)
    (tmp_path / "4.parquet").write_bytes(b"not a table")
    with pytest.raises(tables.TableError, match="not a readable Parquet table"):
        tables.read(tmp_path / "4.parquet", tables.REPORTS)


def test_weights_are_equal_to_the_byte_and_checked(tmp_path):
    import torch

    tensors = {"b": torch.ones(2, 3), "a": torch.arange(3.0)}
    weights.save(tensors, tmp_path / "1.safetensors")
    weights.save(dict(reversed(tensors.items())), tmp_path / "2.safetensors")
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()
    assert torch.equal(weights.load(tmp_path / "1.safetensors")["b"], tensors["b"])
    (tmp_path / "3.safetensors").write_bytes(b"12345678pickle")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        weights.load(tmp_path / "3.safetensors")
