"""Products with the rows of a matrix: the same on every device, and the program stays as it is."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from strategies import StrategyError
from strategies.kernels.products import Products

DEVICES = [
    "cpu",
    "cpu:0",  # PyTorch on the CPU
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "rows", [slice(3, 9), np.array([7, 0, 7, 2]), np.array([], dtype=np.int64)]
)
def test_rows_times_the_right_side(device: str, dtype: type, rows: slice | np.ndarray) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(12, 5)).astype(dtype)
    right = rng.normal(size=(4, 5)).astype(dtype)
    product = Products(matrix, device).rows(rows, right)
    assert product.dtype == dtype
    expected = matrix[rows].astype(np.float64) @ right.T.astype(np.float64)
    assert_allclose(product, expected, atol=1e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("device", DEVICES)
def test_taken_rows_are_numbered_anew(device: str) -> None:
    matrix = np.arange(12.0).reshape(6, 2)
    products = Products(matrix, device)
    taken = products.taken(np.array([4, 1]))
    right = np.eye(2)
    assert_array_equal(taken.rows(slice(0, 2), right), matrix[[4, 1]])
    assert_array_equal(taken.taken(np.array([1])).rows(slice(None), right), matrix[[1]])
    assert_array_equal(products.rows(slice(None), right), matrix)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(StrategyError, match='use device="cpu"'):
        Products(np.eye(2), "cuda")


@pytest.mark.parametrize("allowed", [False, True])
def test_the_programs_choice_of_precision_is_put_back(allowed: bool) -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = allowed
        Products(np.eye(2, dtype=np.float32), "cpu:0").rows(
            slice(None), np.eye(2, dtype=np.float32)
        )
        assert torch.backends.cuda.matmul.allow_tf32 is allowed
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
