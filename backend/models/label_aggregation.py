"""One label for a task from the annotations of several people."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Vote:
    """One annotation of a task.

    `label` is None when it is empty; `cancelled` means skipped. `order` tells one annotator's
    annotations apart, the greatest being his newest (an annotation id or a time stamp will do).
    """

    annotator: str | int | None
    label: str | None
    cancelled: bool = False
    order: float = 0


@dataclass(frozen=True)
class TaskLabel:
    """What the votes say.

    "settled": `label` won the most votes; "tie": several did, so the task does not train until
    another annotation settles it; "none": nobody gave a label. `votes` counts the people whose
    label was heard; `agreement` is the share of them who chose the most frequent label, None with
    fewer than two.
    """

    label: str | None
    status: Literal["none", "settled", "tie"]
    votes: int
    agreement: float | None


def aggregate(votes: Iterable[Vote]) -> TaskLabel:
    """The majority's label of one task.

    Of one annotator's several annotations only his newest with a label counts; skipped and empty
    ones are no votes. Annotations without a known annotator (None) count one each. Does not depend
    on the order of `votes`, apart from equal `order`s of one annotator: the later in `votes` wins.
    """
    newest: dict[object, Vote] = {}
    for position, vote in enumerate(votes):
        if vote.cancelled or vote.label is None or vote.label == "":
            continue
        key = ("unknown", position) if vote.annotator is None else ("known", vote.annotator)
        if key not in newest or vote.order >= newest[key].order:
            newest[key] = vote
    counts = Counter(vote.label for vote in newest.values())
    total = sum(counts.values())
    if total == 0:
        return TaskLabel(None, "none", 0, None)
    most = max(counts.values())
    winners = [label for label, count in counts.items() if count == most]
    agreement = most / total if total > 1 else None
    if len(winners) > 1:
        return TaskLabel(None, "tie", total, agreement)
    return TaskLabel(winners[0], "settled", total, agreement)
