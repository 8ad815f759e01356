"""Properties of images, by hand and against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from strategies import StrategyError
from strategies.properties.images import IMAGE_PROPERTIES, image_properties


def measured(image: np.ndarray) -> dict[str, float]:
    return {name.removeprefix("image:"): value for name, value in image_properties(image).items()}


def luma(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        return image
    return image[..., 0] * 0.299 + image[..., 1] * 0.587 + image[..., 2] * 0.114


def filtered(grey: np.ndarray, kernel: list[list[int]]) -> np.ndarray:
    height, width = grey.shape
    rows = []
    for y in range(1, height - 1):
        rows.append(
            [
                sum(
                    kernel[a + 1][b + 1] * grey[y + a, x + b]
                    for a in (-1, 0, 1)
                    for b in (-1, 0, 1)
                )
                for x in range(1, width - 1)
            ]
        )
    return np.array(rows)


@settings(max_examples=40)
@given(
    st.one_of(
        arrays(np.uint8, st.tuples(st.integers(3, 7), st.integers(3, 7), st.sampled_from([3, 4]))),
        arrays(np.uint8, st.tuples(st.integers(3, 7), st.integers(3, 7))),
    )
)
def test_the_properties_are_those_of_plain_loops(image: np.ndarray) -> None:
    found = measured(image)
    unit = image[..., :3] / 255.0 if image.ndim == 3 else image / 255.0
    grey = luma(unit)
    assert_allclose(found["brightness"], grey.mean(), atol=1e-6)
    assert_allclose(found["contrast"], grey.std(), atol=1e-6)
    laplacian = filtered(grey, [[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    assert_allclose(found["sharpness"], laplacian.var(), atol=1e-5)
    residual = np.abs(filtered(grey, [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]))
    height, width = grey.shape
    noise = math.sqrt(math.pi / 2) * residual.sum() / (6 * (width - 2) * (height - 2))
    assert_allclose(found["noise"], noise, atol=1e-6)
    assert found["size"] == height * width
    assert found["aspect"] == width / height
    if image.ndim == 3:
        red, green, blue = np.moveaxis(255.0 * unit, 2, 0)
        rg, yb = red - green, 0.5 * (red + green) - blue
        expected = math.hypot(rg.std(), yb.std()) + 0.3 * math.hypot(rg.mean(), yb.mean())
        assert_allclose(found["colourfulness"], expected, atol=1e-3)
    else:
        assert found["colourfulness"] == 0.0
        shares = np.unique(image, return_counts=True)[1] / image.size
        assert_allclose(found["entropy"], -(shares * np.log2(shares)).sum(), atol=1e-9)


def test_known_images() -> None:
    flat = measured(np.full((4, 8), 51, dtype=np.uint8))
    assert flat == {
        "sharpness": 0.0,
        "brightness": pytest.approx(0.2),
        "contrast": pytest.approx(0.0, abs=1e-7),
        "entropy": 0.0,
        "size": 32.0,
        "aspect": 2.0,
        "colourfulness": 0.0,
        "noise": 0.0,
        "signal_to_noise": 100.0,
    }
    board = np.indices((8, 8)).sum(axis=0) % 2 * 255
    found = measured(board.astype(np.uint8))
    # Every inner pixel has four opposite neighbours: the Laplacian is +4 or -4, half of each.
    assert_allclose([found["sharpness"], found["contrast"], found["entropy"]], [16.0, 0.5, 1.0])
    # A plane of colour: pure red is R - G = 255 and (R + G)/2 - B = 127.5.
    red = np.zeros((3, 3, 3), dtype=np.uint8)
    red[..., 0] = 255
    assert_allclose(measured(red)["colourfulness"], 0.3 * math.hypot(255.0, 127.5), rtol=1e-6)


def test_every_property_has_its_name_and_a_finite_value() -> None:
    for shape in [(1, 1), (1, 5), (5, 2), (2, 2, 3), (1, 1, 1), (9, 9, 4)]:
        found = image_properties(np.zeros(shape, dtype=np.uint8))
        assert tuple(found) == IMAGE_PROPERTIES
        assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_all_dtypes_agree(dtype: type) -> None:
    image = np.random.default_rng(0).integers(256, size=(20, 30, 3), dtype=np.uint8)
    other = image.astype(dtype) * 257 if dtype is np.uint16 else (image / 255.0).astype(dtype)
    expected = image_properties(image)
    for name, value in image_properties(other).items():
        # A float on the edge of two of the 256 bins may fall into the other one.
        assert_allclose(value, expected[name], rtol=0.01 if name == "image:entropy" else 1e-4)


@pytest.mark.parametrize(
    "image", [np.array([[-1000, 0], [500, 3000]]), np.array([[-1.0, 0.0], [0.5, 3.0]])]
)
def test_values_beyond_the_usual_range_are_scaled_from_lowest_to_highest(image: np.ndarray) -> None:
    low, high = image.min(), image.max()
    assert_allclose(measured(image)["brightness"], ((image - low) / (high - low)).mean(), rtol=1e-6)


def test_the_noise_is_told_from_the_picture() -> None:
    rng = np.random.default_rng(0)
    slope = np.add.outer(np.linspace(0.2, 0.5, 100), np.linspace(0.0, 0.3, 120))
    for sigma in (0.01, 0.05):
        found = measured(slope + rng.normal(scale=sigma, size=slope.shape))
        assert_allclose(found["noise"], sigma, rtol=0.05)
        assert_allclose(found["signal_to_noise"], 20 * math.log10(0.5 / sigma), atol=0.6)


def test_blur_lowers_the_sharpness() -> None:
    image = np.random.default_rng(0).random((40, 40))
    blurred = (image[:-1, :-1] + image[1:, :-1] + image[:-1, 1:] + image[1:, 1:]) / 4
    assert measured(blurred)["sharpness"] < 0.3 * measured(image)["sharpness"]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.zeros((2, 2), dtype=complex), "dtype complex128"),
        (np.array([[0.0, np.nan]]), "not finite"),
    ],
)
def test_what_is_no_image_is_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(StrategyError, match=message):
        image_properties(image)
