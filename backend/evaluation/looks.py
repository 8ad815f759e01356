"""When the figures may be looked at: each time the labels have doubled, and never in between.

Whoever looks after every round and stops at the first success is wrong far more often than once in
twenty. The looks are therefore planned ahead, few, and share the allowed error among them.
"""

from dataclasses import dataclass

DOUBLING = 2


@dataclass(frozen=True)
class LookPlan:
    """The looks that are planned: each `at` so many labels, with its own share of `alpha`.

    Whoever acts on any of them errs with probability at most `alpha` (Bonferroni), however the
    looks depend on each other.
    """

    at: tuple[int, ...]
    alphas: tuple[float, ...]
    alpha: float


def plan_looks(first: int, most: int, alpha: float = 0.05) -> LookPlan:
    """Looks at `first`, 2·first, 4·first … labels, as far as the `most` that will be labelled.

    There is always one look, at `first`, even where the budget does not reach it. Each look has
    alpha divided by the number of looks planned. Raises ValueError unless first >= 1 and
    0 < alpha < 1.
    """
    if first < 1 or not 0 < alpha < 1:
        raise ValueError(f"first {first}, alpha {alpha}: expected at least 1, and one in (0, 1)")
    at = [first]
    while at[-1] * DOUBLING <= most:
        at.append(at[-1] * DOUBLING)
    return LookPlan(tuple(at), (alpha / len(at),) * len(at), alpha)


def extend_plan(plan: LookPlan, taken: int, most: int) -> LookPlan:
    """The plan for another budget, after `taken` looks: past looks keep what they have spent.

    What is left of alpha is shared by the looks to come; where none is left (all planned looks
    were taken) the past looks are all there will be. Raises ValueError for more looks than were
    planned.
    """
    if not 0 <= taken <= len(plan.at):
        raise ValueError(f"taken {taken}: the plan has {len(plan.at)} looks")
    to_come = plan_looks(plan.at[0], most, plan.alpha).at[taken:]
    left = sum(plan.alphas[taken:])
    if not to_come or left <= 0:
        return LookPlan(plan.at[:taken], plan.alphas[:taken], plan.alpha)
    shares = (left / len(to_come),) * len(to_come)
    return LookPlan(plan.at[:taken] + to_come, plan.alphas[:taken] + shares, plan.alpha)


def due_look(plan: LookPlan, labels: int, taken: int) -> int | None:
    """The number (from 0) of the look that is due at `labels`, None while none is.

    `taken` counts the looks that were taken or have lapsed: where several were passed at once
    (labels imported in bulk) only the latest is taken, and those before it lapse.
    """
    passed = sum(at <= labels for at in plan.at)
    return passed - 1 if passed > taken else None
