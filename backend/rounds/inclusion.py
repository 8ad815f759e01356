"""The chance that a task had of being in its set, whenever it came.

A draw takes a fixed number k of a stratum's G groups in order of their permanent random numbers: a
simple random sample, in which every group has the inclusion probability k / G (Cochran 1977,
"Sampling Techniques", chapter 2). Where strata are so small that some give none, chance decided
which do, and k and G are those of all strata together (chapter 8). The width of the interval is
near it, but it ends at a number that chance drew. A task that came later was held against a fixed
interval, whose width is its chance. The control is a sample of what the frozen sets leave: its
chances are given that.
"""

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.evaluation.holdout import ROLES, Intervals, Role, narrowed
from backend.rounds.numbering import EVERYTHING, numbering
from backend.store.evaluation_tables import HoldoutEra, SplitMember
from backend.store.tables import Project, Task


def drawn_groups(
    keys: Sequence[str],
    strata: Sequence[str],
    roles: Sequence[Role | None],
    closed: Collection[str] = frozenset(),
) -> dict[str, dict[str, int]]:
    """{stratum: {"groups": G, role: k}} of a draw; `closed` groups took no part in it."""
    found: dict[str, dict[str, int]] = {}
    counted = set(closed)
    for key, stratum, role in zip(keys, strata, roles, strict=True):
        if key in counted:
            continue
        counted.add(key)
        mine = found.setdefault(stratum, {"groups": 0, **dict.fromkeys(ROLES, 0)})
        mine["groups"] += 1
        if role is not None:
            mine[role] += 1
    return found


def widest(intervals: dict[str, Intervals]) -> Intervals:
    """For a stratum that was not there at the draw: those of the one that holds out the most."""
    return intervals.get(EVERYTHING) or max(
        intervals.values(),
        key=lambda one: one.validation.high + 1.0 - one.control.low,
        default=Intervals(),
    )


def inclusion_probabilities(
    session: Session, project: Project, era: HoldoutEra
) -> dict[int, float]:
    """The chance of each member of this era; none of those that were named and not drawn.

    A group's oldest member decides, as it did when the role was given.
    """
    how = numbering(session, project)
    drawn = _shares(era.reports.get("drawn_groups", {}))
    late = {batch["at"]: _Late(era, batch) for batch in era.reports.get("late_rates", [])}
    grown = {frame["at"]: frame["members"] / frame["size"] for frame in era.frames[1:]}
    rows = session.execute(
        sa.select(
            SplitMember.task_id,
            SplitMember.role,
            SplitMember.u,
            SplitMember.late,
            SplitMember.drawn_at,
            Task.fields,
        )
        .join(
            Task,
            sa.and_(Task.project_id == SplitMember.project_id, Task.task_id == SplitMember.task_id),
        )
        .where(SplitMember.project_id == project.id, SplitMember.era == era.era)
        .order_by(SplitMember.task_id)
    )
    of_group: dict[float, float | None] = {}
    found = {}
    for row in rows:
        if row.u not in of_group:
            stratum = how.stratum(row.fields or {})
            if not row.late:
                chances = drawn.get(stratum, {})
            elif row.drawn_at in grown:
                chances = {"control": grown[row.drawn_at]}
            else:
                batch = late.get(row.drawn_at)
                chances = {} if batch is None else _widths(batch.of(stratum))
            of_group[row.u] = chances.get(row.role) or None
        chance = of_group[row.u]
        if chance is not None:
            found[row.task_id] = chance
    return found


class _Late:
    """The intervals that the tasks of one arrival were held against."""

    def __init__(self, era: HoldoutEra, batch: dict[str, Any]) -> None:
        self._rates: dict[Role, float] = batch["rates"]
        # The control may have grown since.
        lows = batch.get("control", {})
        self._documents = {
            name: {**document, "control": [lows[name], 1.0]} if name in lows else document
            for name, document in era.intervals.items()
        }

    def of(self, stratum: str) -> Intervals:
        document = self._documents.get(stratum)
        return self._elsewhere if document is None else self._narrowed(document)

    @cached_property
    def _elsewhere(self) -> Intervals:
        return widest({name: self._narrowed(part) for name, part in self._documents.items()})

    def _narrowed(self, document: dict[str, Any]) -> Intervals:
        return narrowed(Intervals.of_document(document), self._rates)


def _shares(counts: dict[str, dict[str, int]]) -> dict[str, dict[str, float]]:
    """{stratum: {role: chance}} of a draw."""
    together = {name: sum(mine[name] for mine in counts.values()) for name in ("groups", *ROLES)}
    found: dict[str, dict[str, float]] = {}
    for stratum, mine in counts.items():
        found[stratum] = {}
        for role in ROLES:
            kept = mine if all(one[role] for one in counts.values()) else together
            frozen = kept["test"] + kept["validation"] if role == "control" else 0
            found[stratum][role] = kept[role] / max(kept["groups"] - frozen, 1)
    return found


def _widths(part: Intervals) -> dict[str, float]:
    widths = {role: getattr(part, role).high - getattr(part, role).low for role in ROLES}
    return _given_the_frozen(widths)


def _given_the_frozen(chances: dict[Any, float]) -> dict[str, float]:
    left = 1.0 - chances["test"] - chances["validation"]
    return {**chances, "control": chances["control"] / left if left > 0.0 else 0.0}
