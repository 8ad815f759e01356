"""What a selecting strategy may give beside the indices: what decided each pick, and remarks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from strategies.arrays import Indices

# Details with a meaning that an explanation relies on; a strategy may add others.
INCLUSION_PROBABILITY = "inclusion_probability"  # of the item in the batch, in (0, 1]
GAIN = "gain"  # what the pick added to the strategy's objective, in its own unit
COVERED = "covered"  # how many items of the pool the pick covers better than all before it
DISTANCE = "distance"  # to the nearest labelled or picked item, at the moment of the pick
CLUSTER_SIZE = "cluster_size"  # items in the pick's cluster
CLASS = "class"  # the predicted class that the pick stands for
QUOTA = "quota"  # how many picks that class, level or stratum was given
LEVEL = "level"  # the level of the metadata column(s), or the stratum, that the pick stands for


@dataclass(frozen=True, eq=False)
class Picks:
    """A batch with its reasons.

    indices   (size,) int64, distinct, best first
    details   {name: (size,)}: numbers or texts that decided each pick, by the names above
    branches  for a strategy that calls others: the one that chose each pick, else None
    notes     sentences about the batch, as `auto` says which strategy it used and why
    warnings  sentences about input that makes the method weak, with what to do about it
    """

    indices: Indices
    details: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    branches: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def detail(self, position: int) -> dict[str, Any]:
        """The details of one pick as plain Python values."""
        return {name: values[position].item() for name, values in self.details.items()}
