"""What this machine can do: the rate of float32 matrix products on the threads that are allowed."""

import os
import platform
import time
from typing import Any

import numpy as np

SIDE = 2048
REPEATS = 5


def measure() -> dict[str, Any]:
    """Floating-point operations a second of a float32 product, the best of a few; and the CPU."""
    rng = np.random.default_rng(0)
    left = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    right = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    out = np.empty((SIDE, SIDE), dtype=np.float32)
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        np.matmul(left, right, out=out)
        seconds.append(time.process_time() - started)
    return {
        "gemm_flops": 2 * SIDE**3 / min(seconds),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def dense_seconds(n: int, dimensions: int, flops: float) -> float:
    """All products of n rows with each other: 2 n^2 d operations at this rate."""
    return 2.0 * n * n * dimensions / flops


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
