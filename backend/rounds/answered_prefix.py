"""The part of a random set that may be measured: its longest answered prefix in order of chance.

Which members are labelled is no matter of chance: some were labelled before the draw, some opened
by hand, and easy ones come back first. The groups before the first unanswered one, in the order of
their permanent random numbers, are as random as the whole set (design of the estimators: only how
far people came decides where the prefix ends, never what the labels say).

By strata, a group's place is its rank among its stratum's groups, as a fraction: the k-th of G
(from 0) stands at (k + ½) / G. The prefix ends for all strata at the first unanswered place of any,
so that each gives in proportion to what it holds; what some strata answered beyond is left out. A
permanent random number itself would not do: the strata's intervals are not equally wide. Members
that came later, by a growing pool or control, stand after those that were drawn before them.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.evaluation.holdout import Role
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.numbering import EVERYTHING, living_members, numbering
from backend.rounds.rules import read_rule_book
from backend.rounds.skips import waiting_skips
from backend.store.evaluation_tables import ControlDraw, SplitMember
from backend.store.tables import Annotation, Label, Project, Task


@dataclass(frozen=True)
class AnsweredPrefix:
    """Answered members of the prefix, those within it that have no label to measure by, and what
    was answered beyond.

    `unresolved` were skipped by everybody, submitted empty or excluded by hand: no chance decides
    which tasks these are, they are the hard ones.
    """

    answered: frozenset[int]
    unresolved: frozenset[int]
    beyond: frozenset[int]


@dataclass(frozen=True)
class Drawn:
    """A member as it was drawn: its group's number, its stratum, and when it joined."""

    task_id: int
    u: float
    stratum: str = EVERYTHING
    drawn_at: float = 0.0


def answered_prefix(
    session: Session, project: Project, role: Role, *, late: bool | None = None
) -> AnsweredPrefix:
    """The answered prefix of a role in the era in force.

    `late` keeps the members that came after the draw (True), or those of the draw (False). Of the
    control only what was queued counts: the rest was never asked for. What was deleted holds
    nothing up, and what was excluded by hand neither, though it counts as unresolved; a task that
    waits for a second annotator, after a skip, does.
    """
    answered = answered_tasks(session, project)
    drawn = _drawn(session, project, role, late=late, only_queued=role == "control")
    prefix, passed_over = longest_prefix(
        drawn, answered, read_rule_book(session, project.id).excluded
    )
    labelled = set(
        session.scalars(
            sa.select(Label.task_id).where(Label.project_id == project.id, Label.status != "none")
        )
    )
    beyond = {member.task_id for member in drawn if member.task_id in answered} - prefix
    return AnsweredPrefix(
        frozenset(prefix), frozenset((prefix - labelled) | passed_over), frozenset(beyond)
    )


def answered_tasks(session: Session, project: Project) -> set[int]:
    """The tasks that nobody is asked about any more: submitted, or skipped in the end."""
    given = set(
        session.scalars(
            sa.select(Annotation.task_id).where(
                Annotation.project_id == project.id,
                Annotation.deleted_at.is_(None),
                Annotation.cancelled.is_(False),
            )
        )
    )
    return given | (annotated_task_ids(session, project.id) - waiting_skips(session, project))


def longest_prefix(
    drawn: Sequence[Drawn], answered: Collection[int], excluded: Collection[int]
) -> tuple[set[int], set[int]]:
    """The answered tasks before the first unanswered place, by whole groups, and what was passed
    over there: an `excluded` task that is not answered holds nothing up.
    """
    found = groups_with_places(drawn)
    end = min(
        (
            place
            for place, tasks in found
            if any(task not in answered and task not in excluded for task in tasks)
        ),
        default=(float("inf"), 0.0),
    )
    within = {task for place, tasks in found if place < end for task in tasks}
    prefix = within.intersection(answered)
    return prefix, within - prefix


def groups_with_places(drawn: Sequence[Drawn]) -> list[tuple[tuple[float, float], list[int]]]:
    """The tasks of each group with its place in the order of chance, in that order: when it joined,
    then its rank in its stratum as a fraction.
    """
    groups: dict[tuple[float, str, float], list[int]] = {}
    for member in sorted(drawn, key=lambda one: one.task_id):
        groups.setdefault((member.drawn_at, member.stratum, member.u), []).append(member.task_id)
    sizes = Counter((drawn_at, stratum) for drawn_at, stratum, _ in groups)
    ranks: Counter[tuple[float, str]] = Counter()
    found = []
    for drawn_at, stratum, u in sorted(groups):
        part = (drawn_at, stratum)
        place = (drawn_at, (ranks[part] + 0.5) / sizes[part])
        found.append((place, u, groups[drawn_at, stratum, u]))
        ranks[part] += 1
    return [(place, tasks) for place, _, tasks in sorted(found)]


def groups_in_order(
    session: Session, project: Project, role: Role, *, late: bool | None = None
) -> list[list[int]]:
    """All living members of a role by groups, in the order in which they are to be asked about."""
    drawn = _drawn(session, project, role, late=late, only_queued=False)
    return [tasks for _, tasks in groups_with_places(drawn)]


def _drawn(
    session: Session, project: Project, role: Role, *, late: bool | None, only_queued: bool
) -> list[Drawn]:
    """The living members of a role; a group's stratum is that of its oldest member."""
    how = numbering(session, project)
    columns: list[Any] = [SplitMember.task_id, SplitMember.u, SplitMember.drawn_at]
    if how.strata:
        columns.append(Task.fields)
    query = living_members(project, role, *columns).order_by(SplitMember.task_id)
    if late is not None:
        query = query.where(SplitMember.late.is_(late))
    if only_queued:
        query = query.join(
            ControlDraw,
            sa.and_(
                ControlDraw.project_id == SplitMember.project_id,
                ControlDraw.task_id == SplitMember.task_id,
            ),
        )
    stratum_of: dict[float, str] = {}
    found = []
    for row in session.execute(query):
        stratum = EVERYTHING
        if how.strata:
            stratum = stratum_of.setdefault(row.u, how.stratum(row.fields or {}))
        found.append(Drawn(row.task_id, row.u, stratum, row.drawn_at))
    return found
