"""Blocks of rounds: the control labels of some rounds against the best picks of the same rounds."""

from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_BLOCKS = 5


@dataclass(frozen=True)
class Block:
    """The rounds first..last, both included, and how many labels of each kind they compare."""

    first: int
    last: int
    size: int


def control_blocks(
    control: Sequence[int], picks: Sequence[int], blocks: int = 20
) -> tuple[Block, ...]:
    """Cut rounds into at most `blocks` disjoint runs with about equally many control labels.

    control   labelled control tasks of each round
    picks     labelled picks of the strategy of each round

    A block compares m control labels with the m best-ranked picks of its rounds, m the smaller of
    the two numbers; the cuts depend on nothing but these counts. A round is never cut, so that
    there can be fewer blocks than asked; a block without labels of either kind is left out. `lift`
    needs at least 5. More and smaller blocks see more: in simulations a lift was 0.8, 1.5, 1.7 and
    1.7 times the interval's half-width with 5, 10, 20 and 40 blocks of the same labels. Raises
    ValueError for counts that do not fit.
    """
    if len(control) != len(picks) or blocks < 1:
        raise ValueError("control and picks: give one count each a round, and at least one block")
    total = sum(control)
    found: list[Block] = []
    start = reached = 0
    for index, count in enumerate(control):
        reached += count
        # The block ends with the round in which its share of the control labels is complete.
        if count and reached * blocks >= total * (len(found) + 1):
            size = min(sum(control[start : index + 1]), sum(picks[start : index + 1]))
            found.append(Block(start, index, size))
            start = index + 1
    return tuple(block for block in found if block.size > 0)
