"""bmdal_reg: batch selection in PyTorch (Holzmüller and others)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from bmdal_reg.bmdal.algorithms import select_batch
from bmdal_reg.bmdal.feature_data import TensorFeatureData

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job

# It asks for a name that NumPy 2 has given up.
np.Inf = np.inf  # type: ignore[attr-defined]


def _k_center(arrays: Arrays, job: Job) -> Callable[[], Any]:
    torch.set_num_threads(job.cores)
    pool = torch.from_numpy(np.array(arrays.embeddings))
    labelled = torch.from_numpy(np.array(arrays.labelled_embeddings))

    def call() -> Any:
        data = {"train": TensorFeatureData(labelled), "pool": TensorFeatureData(pool)}
        picks, _ = select_batch(
            batch_size=job.size, models=[torch.nn.Identity()], data=data, y_train=None,
            base_kernel="linear", kernel_transforms=[], selection_method="maxdist",
            sel_with_train=True,
        )  # fmt: skip
        return picks.numpy()

    return call


CONTENDERS = {"k_center": _k_center}
