"""Generated predictions of several members."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


@st.composite
def generated_members(
    draw: st.DrawFn, most: tuple[int, int, int] = (5, 6, 5), least: int = 1
) -> np.ndarray:
    """(k, n, c) predictions, zeros and certain ones among them; `least` members."""
    shape = (
        draw(st.integers(least, most[0])),
        draw(st.integers(1, most[1])),
        draw(st.integers(1, most[2])),
    )
    weights = draw(arrays(np.float64, shape, elements=st.floats(0.0, 1.0).map(lambda x: x**3)))
    weights[..., 0] += 1e-6
    return weights / weights.sum(axis=2, keepdims=True)


def entropy_of(p: np.ndarray) -> float:
    return -sum(float(x) * float(np.log(x)) for x in p if x > 0)
