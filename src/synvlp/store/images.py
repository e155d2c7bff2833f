"""Gray images as bytes in a table, and as one memory map for training."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from synvlp.store import files


def encode(pixels: np.ndarray) -> bytes:
    """PNG bytes of a gray image. `pixels`: uint8 (height, width)."""
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise ValueError(f"a gray image is uint8 with two axes, not {pixels.dtype} with shape {pixels.shape}")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """The gray image in PNG or JPEG bytes: uint8 (height, width). Raises ValueError if it cannot be read."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return np.asarray(image.convert("L"))
    except (OSError, SyntaxError) as error:
        raise ValueError(f"not a readable image: {error}") from error


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """A square uint8 image at `size` pixels a side: area-averaged when it shrinks, bicubic when it grows."""
    if pixels.shape == (size, size):
        return pixels
    method = Image.Resampling.BOX if size < max(pixels.shape) else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize((size, size), method))


def details(pixels: np.ndarray, side: int) -> np.ndarray:
    """An image's details as a vector of mean 0 and length 1: float32 (side²,); zeros for an image without any.

    The image, uint8 (S, S), is averaged down to `side`, and its average over tiles a quarter as many, smoothly
    enlarged, is taken away: two radiographs always agree in the coarse shading of a chest.
    """
    whole = Image.fromarray(pixels.astype(np.float32))
    small = whole.resize((side, side), Image.Resampling.BOX)
    coarse = whole.resize((side // 4, side // 4), Image.Resampling.BOX).resize((side, side), Image.Resampling.BILINEAR)
    fine = np.asarray(small, np.float64) - np.asarray(coarse, np.float64)
    fine -= fine.mean()
    length = np.sqrt((fine**2).sum())
    return (fine / length if length > 1e-6 else np.zeros_like(fine)).astype(np.float32).ravel()


def write_pixels(path: Path, images: Iterable[np.ndarray], count: int, size: int) -> None:
    """Write `count` square images of `size` pixels as one uint8 array (count, size, size) in NumPy's format."""
    with files.replacing(path) as part:
        array = new_array(part, (count, size, size))
        row = -1
        for row, pixels in enumerate(images):
            array[row] = resize(pixels, size)
        array.flush()
        if row + 1 != count:
            raise ValueError(f"{row + 1} images came for the {count} rows of {path.name}")


def new_array(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """A new uint8 array of zeros in NumPy's format, to be filled in place. Raises OSError if the disk is too full."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    files.reserve(path)
    return np.lib.format.open_memmap(path, mode="r+")


def read_pixels(path: Path) -> np.ndarray:
    """The memory map of `write_pixels`: uint8 (count, size, size), read from disk as it is used."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices that cover `count` rows, `size` at a time."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
