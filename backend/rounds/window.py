"""Composing the queue's window: which position serves a hold-out, a random or a strategy task.

Every position of a project's queue has an ordinal that counts for ever. What a position serves is
decided once, from its ordinal alone: a hold-out at the configured rate while some are left, a
random task by a coin that a keyed hash throws, else the strategy. So a window that is composed
again after a crash is the same window, and no chance is ever taken twice.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Family = Literal["strategy", "random", "test", "validation"]


@dataclass(frozen=True)
class Choice:
    """A task that the strategy chose: the branch that did, its acquisition score, what decided."""

    task_id: int
    branch: str
    score: float | None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Position:
    """One position of the window; `probability` is the inclusion probability where random.

    `rolling` picks of the strategy are blind, for they validate before they train.
    """

    ordinal: int
    family: Family
    task_id: int
    branch: str
    score: float | None = None
    probability: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    rolling: bool = False

    @property
    def blind(self) -> bool:
        """Whether the task must be shown without the model's opinion."""
        return self.family != "strategy" or self.rolling


@dataclass(frozen=True)
class Stock:
    """What a window can be filled from, at one moment.

    `holdouts` are (task, role) not queued and not answered, in order of u; `control` the unanswered
    tasks of the control interval, likewise, each with its inclusion probability; `others` the
    unanswered tasks that the strategy may choose from.
    """

    holdouts: Sequence[tuple[int, Family]]
    control: Sequence[tuple[int, float]]
    others: Collection[int] = frozenset()


def is_holdout_position(ordinal: int, rate: float) -> bool:
    """Whether this ordinal serves a hold-out, so that a share `rate` of all ordinals does."""
    slack = 1e-9  # 3 × (1/3) must count as a whole
    return int((ordinal + 1) * rate + slack) > int(ordinal * rate + slack)


def is_random_position(ordinal: int, share: float, secret: bytes) -> bool:
    """Whether this ordinal serves a random task: a coin of probability `share`, thrown once."""
    return coin(secret, f"queue position {ordinal}") < share


def is_rolling_position(ordinal: int, share: float, secret: bytes) -> bool:
    """Whether the strategy's pick at this ordinal validates before it trains: another coin."""
    return coin(secret, f"rolling validation {ordinal}") < share


def coin(secret: bytes, name: str) -> float:
    """The one throw of a named coin: a number in [0, 1) that the secret decides."""
    digest = hmac.new(secret, name.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def compose(
    *,
    kept: Sequence[Position],
    replaced: Sequence[int],
    next_ordinal: int,
    size: int,
    holdout_rate: float,
    random_share: float,
    secret: bytes,
    stock: Stock,
    choose: Callable[[int, frozenset[int]], Sequence[Choice]],
    blocked: Callable[[], Collection[int]] = frozenset,
    rolling_share: float = 0.0,
) -> list[Position]:
    """The window's positions in order of their ordinals, at most `size` of them.

    `random_share` is the share of all positions: while hold-outs take theirs, the coin for the
    others is thrown with a larger probability.

    Args:
        kept: positions of the current window that stay as they are (not answered yet).
        replaced: ordinals whose strategy pick is to be chosen anew.
        next_ordinal: the first ordinal that was never used.
        size: positions that the window should hold.
        choose: (count, tasks in the window) → the strategy's choices, best first, maybe fewer;
            never a hold-out or control task. Those that wait are not named to it: nothing may
            depend on them.
        blocked: tasks that the strategy may not choose, asked after it chose.
        rolling_share: the part of the strategy's picks that validates first.
    """
    kept = list(kept)
    # A window that was made smaller gives up strategy picks; what was drawn for good stays.
    replaced = sorted(replaced)[: max(size - len(kept), 0)]
    taken = {position.task_id for position in kept}
    holdouts = [item for item in stock.holdouts if item[0] not in taken]
    control = [item for item in stock.control if item[0] not in taken]

    missing = max(size - len(kept) - len(replaced), 0)
    ordinals = sorted([*replaced, *range(next_ordinal, next_ordinal + missing)])
    crowded_share = min(random_share / max(1 - holdout_rate, 1e-9), 1.0)
    filled: list[Position] = []
    for_strategy: list[int] = []
    for ordinal in ordinals:
        if holdouts and is_holdout_position(ordinal, holdout_rate):
            task, role = holdouts.pop(0)
            filled.append(Position(ordinal, role, task, role))
        elif (
            control
            and ordinal >= next_ordinal
            and is_random_position(ordinal, crowded_share if holdouts else random_share, secret)
        ):
            filled.append(_random(ordinal, control.pop(0)))
        else:
            for_strategy.append(ordinal)

    taken |= {position.task_id for position in filled}
    choices = list(choose(len(for_strategy), frozenset(taken))) if for_strategy else []
    for ordinal, choice in zip(for_strategy, choices, strict=False):
        filled.append(
            Position(
                ordinal,
                "strategy",
                choice.task_id,
                choice.branch,
                choice.score,
                details=choice.details,
                rolling=is_rolling_position(ordinal, rolling_share, secret),
            )
        )
    unfilled = for_strategy[len(choices) :]
    chosen = {choice.task_id for choice in choices}
    if unfilled and set(stock.others) - taken - chosen - set(blocked()):
        # There are tasks, but the strategy takes no more of them (a limit of groups): the window
        # ends here, for beyond it there would be random tasks and hold-outs alone.
        return _in_order([*kept, *(p for p in filled if p.ordinal < unfilled[0])])
    # The pool is exhausted: what is left over are hold-outs and control tasks without a label.
    for ordinal in unfilled:
        if holdouts:
            task, role = holdouts.pop(0)
            filled.append(Position(ordinal, role, task, role))
        elif control:
            filled.append(_random(ordinal, control.pop(0)))
    return _in_order([*kept, *_control_in_order(filled, stock)])


def _control_in_order(filled: Sequence[Position], stock: Stock) -> list[Position]:
    """The new random positions hold their tasks in order of u, whichever was filled first."""
    place = {task: order for order, (task, _) in enumerate(stock.control)}
    drawn = _in_order([position for position in filled if position.family == "random"])
    tasks = sorted((p.task_id for p in drawn), key=place.__getitem__)
    moved = [replace(p, task_id=task) for p, task in zip(drawn, tasks, strict=True)]
    return [*moved, *(position for position in filled if position.family != "random")]


def _random(ordinal: int, drawn: tuple[int, float]) -> Position:
    task, probability = drawn
    return Position(ordinal, "random", task, "random", None, probability)


def _in_order(positions: Sequence[Position]) -> list[Position]:
    return sorted(positions, key=lambda position: position.ordinal)


def with_current_roles(positions: Sequence[Position], roles: dict[int, Family]) -> list[Position]:
    """Positions whose task became a hold-out after it was queued take that role, and go blind."""
    return [
        replace(
            position,
            family=roles[position.task_id],
            branch=roles[position.task_id],
            score=None,
            probability=None,
            details={},
            rolling=False,
        )
        if position.task_id in roles and position.family in ("strategy", "random")
        else position
        for position in positions
    ]
