"""What an image is like: sharpness, brightness, contrast, entropy, size, colour and noise."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from strategies.arrays import row_blocks
from strategies.errors import StrategyError

Image = npt.NDArray[Any]
Grey = npt.NDArray[np.float32]

# ITU-R BT.601: how bright red, green and blue look.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
HIGHEST_RATIO = 100.0  # dB, in place of infinity where there is no noise at all
BINS = 256

IMAGE_PROPERTIES = (
    "image:sharpness",
    "image:brightness",
    "image:contrast",
    "image:entropy",
    "image:size",
    "image:aspect",
    "image:colourfulness",
    "image:noise",
    "image:signal_to_noise",
)


def image_properties(image: Image) -> dict[str, float]:
    """The properties of one image, by the names in IMAGE_PROPERTIES.

    With the intensity I(x, y) in [0, 1], the luma 0.299 R + 0.587 G + 0.114 B of a colour image:

    image:sharpness        variance of the Laplacian, I * [[0,1,0],[1,-4,1],[0,1,0]], over the inner
                           pixels; low where blurred. >= 0, 0 where a side is under 3 pixels
    image:brightness       mean of I, in [0, 1]
    image:contrast         standard deviation of I, in [0, 0.5]
    image:entropy          -sum_b h_b log2 h_b of the histogram of I in 256 bins, in [0, 8] bits
    image:size             pixels, height times width
    image:aspect           width / height
    image:colourfulness    sqrt(s_rg^2 + s_yb^2) + 0.3 sqrt(m_rg^2 + m_yb^2), means m and standard
                           deviations s of rg = R - G and yb = (R + G)/2 - B, R, G, B in [0, 255]:
                           0 for grey, 15 slightly, 33 moderately, 59 quite, 109 extremely colourful
    image:noise            standard deviation of the noise, sqrt(pi/2) sum |I * N| / (6 (w-2)(h-2)),
                           N = [[1,-2,1],[-2,4,-2],[1,-2,1]], which ignores edges and slopes
    image:signal_to_noise  20 log10(mean of I / noise) in decibels, from -100 to 100

    image  (h, w) or (h, w, 3 or 4), h, w >= 1; a fourth channel (alpha) is left out. uint8 and
           uint16 count from 0 to 255 and 65535, floats from 0 to 1; an image of signed integers, or
           with floats beyond that, is scaled from its own lowest to its highest value

    Raises StrategyError for another shape or dtype, and for floats that are not finite.
    O(h w) time, about 12 bytes a pixel of memory.

    Source: sharpness: Pech-Pacheco et al., ICPR 2000 (LAPV in Pertuz, Puig and Garcia, Pattern
    Recognition 46 (2013)); contrast: Peli, JOSA A 7 (1990); entropy: Shannon 1948; colourfulness:
    Hasler and Suesstrunk, Measuring Colourfulness in Natural Images, SPIE 5007 (2003); noise:
    Immerkaer, Fast Noise Variance Estimation, CVIU 64 (1996).
    """
    _check(image)
    low, scale = _range(image)
    grey = np.empty(image.shape[:2], dtype=np.float32)
    height, width = grey.shape
    channels = 1 if image.ndim == 2 else image.shape[2]
    opponents = np.zeros((2, 2), dtype=np.float64)  # sums and sums of squares of rg and yb
    for rows in row_blocks(height, width * channels):
        part = ((image[rows].astype(np.float64) - low) * scale).astype(np.float32)
        if channels == 1:
            grey[rows] = part.reshape(part.shape[:2])
            continue
        red, green, blue = part[..., 0], part[..., 1], part[..., 2]
        grey[rows] = red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]
        for i, opponent in enumerate((red - green, 0.5 * (red + green) - blue)):
            opponents[i] += opponent.sum(dtype=np.float64), _squares(opponent)
    brightness = float(grey.mean(dtype=np.float64))
    noise = _noise(grey)
    return {
        "image:sharpness": _sharpness(grey),
        "image:brightness": brightness,
        "image:contrast": float(grey.std(dtype=np.float64)),
        "image:entropy": _entropy(grey),
        "image:size": float(height * width),
        "image:aspect": width / height,
        "image:colourfulness": 255.0 * _colourfulness(opponents / (height * width)),
        "image:noise": noise,
        "image:signal_to_noise": _decibels(brightness, noise),
    }


def _check(image: Image) -> None:
    colour = image.ndim == 3 and image.shape[2] in (1, 3, 4)
    if not (image.ndim == 2 or colour) or 0 in image.shape:
        raise StrategyError(
            f"an image has shape {image.shape}; it must be (h, w), (h, w, 3) or (h, w, 4)"
        )
    if image.dtype.kind not in "iufb":
        raise StrategyError(f"an image has dtype {image.dtype}; it must hold integers or floats")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise StrategyError("an image holds a value that is not finite; replace it by a number")


def _range(image: Image) -> tuple[float, float]:
    """The value that counts as 0, and the factor that takes the highest one to 1."""
    if image.dtype.kind == "b":
        return 0.0, 1.0
    if image.dtype.kind == "u":
        return 0.0, 1.0 / float(np.iinfo(image.dtype).max)
    low, high = float(image.min()), float(image.max())
    if image.dtype.kind == "f" and low >= 0.0 and high <= 1.0:
        return 0.0, 1.0
    return low, 1.0 / (high - low) if high > low else 0.0


def _squares(values: Grey) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _sharpness(grey: Grey) -> float:
    if min(grey.shape) < 3:
        return 0.0
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1]
    laplacian += grey[1:-1, :-2]
    laplacian += grey[1:-1, 2:]
    laplacian -= 4.0 * grey[1:-1, 1:-1]
    return float(laplacian.var(dtype=np.float64))


def _noise(grey: Grey) -> float:
    if min(grey.shape) < 3:
        return 0.0
    # N is the second difference down, [1, -2, 1], of the second difference across.
    across = grey[:, :-2] + grey[:, 2:]
    across -= 2.0 * grey[:, 1:-1]
    residual = across[:-2] + across[2:]
    residual -= 2.0 * across[1:-1]
    mean = float(np.abs(residual, out=residual).mean(dtype=np.float64))
    return math.sqrt(math.pi / 2.0) * mean / 6.0


def _entropy(grey: Grey) -> float:
    counts = np.zeros(BINS, dtype=np.int64)
    for rows in row_blocks(len(grey), grey.shape[1]):
        # The 256 values of 8 bits fall into a bin each.
        bins = np.clip(grey[rows] * BINS, 0, BINS - 1).astype(np.uint8)
        counts += np.bincount(bins.reshape(-1), minlength=BINS)
    shares = counts[counts > 0] / grey.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _colourfulness(moments: npt.NDArray[np.float64]) -> float:
    """moments (2, 2): of rg and yb each the mean and the mean square."""
    means, squares = moments.T
    variances = np.maximum(squares - means * means, 0.0)
    return math.sqrt(float(variances.sum())) + 0.3 * math.sqrt(float((means * means).sum()))


def _decibels(signal: float, noise: float) -> float:
    if signal <= 0.0:
        return -HIGHEST_RATIO if noise > 0.0 else 0.0
    if noise <= 0.0:
        return HIGHEST_RATIO
    return min(HIGHEST_RATIO, max(-HIGHEST_RATIO, 20.0 * math.log10(signal / noise)))
