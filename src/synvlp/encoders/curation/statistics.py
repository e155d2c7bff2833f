"""What numbers say of an image before any network looks at it: exposure, contrast, grain, sharpness."""

import numpy as np

NAMES = ("mean", "deviation", "black", "white", "grain", "sharpness", "symmetry")
# Immerkær's mask: the difference of two Laplacians, blind to edges of constant slope.
_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)


def of(pixels: np.ndarray) -> np.ndarray:
    """The statistics of one image, uint8 (S, S), at the size at which it is stored: float32 (7,).

    Mean and deviation (as shares of 255); shares of black and white pixels; the logarithm of the grain, the standard
    deviation of noise in gray levels (Immerkær, Fast Noise Variance Estimation, 1996, eq. 4); the logarithm of the
    share of the variance that lies between neighbours, low where the image is blurred; and the correlation of the image
    with its mirror image.
    """
    values = pixels.astype(np.float64)
    deviation = values.std()
    grain = np.sqrt(np.pi / 2) * np.abs(_filtered(values)).mean() / 6
    steps = (np.diff(values, axis=0) ** 2).mean() + (np.diff(values, axis=1) ** 2).mean()
    centred = values - values.mean()
    alike = (centred * centred[:, ::-1]).sum() / max((centred**2).sum(), 1e-9)
    return np.array(
        [
            values.mean() / 255,
            deviation / 255,
            (pixels <= 1).mean(),
            (pixels >= 254).mean(),
            np.log(grain + 0.1),
            np.log((steps + 0.01) / (deviation**2 + 1)),
            alike,
        ],
        np.float32,
    )


def _filtered(values: np.ndarray) -> np.ndarray:
    side = np.array(values.shape) - 2
    parts = (_MASK[y, x] * values[y : y + side[0], x : x + side[1]] for y in range(3) for x in range(3))
    return sum(parts)
