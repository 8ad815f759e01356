"""Hold-outs and the random control: drawn once an era, before the first round, from the whole pool.

Which role a task has follows from its group's permanent random number and its stratum alone. Tasks
that arrive later fall into a role by the same rule; they are no part of the frozen manifest.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.config import QueueConfig, parse_config
from backend.errors import ConfigurationError
from backend.evaluation.holdout import (
    ROLES,
    Intervals,
    Role,
    Sizes,
    affordable_sizes,
    draw_intervals,
    narrowed,
    permanent_random_number,
)
from backend.evaluation.representativeness import representativeness
from backend.evaluation.sample_size import precision, wanted_test_size
from backend.rounds.draw_fit import fit_document, keys_and_strata, pool_covariates
from backend.rounds.fields import living_tasks
from backend.rounds.inclusion import drawn_groups, widest
from backend.rounds.looks_taken import looks_before
from backend.rounds.named_test_set import named_test_set, named_test_tasks, tasks_with_value
from backend.rounds.numbering import (
    Numbering,
    current_era,
    member,
    numbering,
    secret_of_draw,
)
from backend.store.database import Database
from backend.store.evaluation_tables import HoldoutEra, SplitMember
from backend.store.projects import record_event
from backend.store.tables import Project, Task

# The contents of the living tasks → their embeddings, None while too few are there.
PoolEmbeddings = Callable[[Sequence[bytes | None]], npt.NDArray[np.float32] | None]
# A draw that is less like the pool than 95% of draws is made again, so often at most.
REDRAWS = 5
# What of the configuration decides a draw; changed later, it is for the next era.
DECIDED_BY = ("group_by", "strata", "test_set", "test_size", "validation_size")
# No stratum gives in proportion what it has less than two groups of: whatever it holds out, it
# leaves nothing. And a test set of some hundred tasks holds none of most of a thousand strata.
MOST_STRATA, FEWEST_GROUPS = 1_000, 2


def draw_splits(
    database: Database,
    session: Session,
    project: Project,
    embeddings: npt.NDArray[np.float32] | None = None,
) -> None:
    """Draw the roles of a new era from every task, labelled or not, and freeze the manifest.

    embeddings  (n, d) of the living tasks in their order, where they are known: the draw is then
                compared with the pool by their main directions too

    Raises:
        ConfigurationError: `test_set` names no task, or `strata` splits the pool too finely.
            Nothing is written then. Nor where no task has the field that `group_by` or `strata`
            names.
    """
    config = parse_config(project.config)
    project.holdout_drawn_at = None
    how = numbering(session, project)
    tasks = living_tasks(session, project.id)
    budget = budget_in_tasks(config, project)
    now = time.time()
    era = project.era + 1
    _check_fields(config, tasks)
    keys, strata = keys_and_strata(how, tasks)
    _check_strata(config, len(set(strata)), len(set(keys)))
    named = named_test_tasks(session, project, config, [task.task_id for task in tasks])
    before = current_era(session, project)
    pool = pool_covariates(tasks, config, embeddings)
    for redraw in range(REDRAWS + 1):
        how = replace(how, secret=secret_of_draw(project.secret, era, redraw))
        number_of = {key: permanent_random_number(how.secret, key) for key in set(keys)}
        numbers = [number_of[key] for key in keys]
        roles, intervals = _roles(how.secret, config, budget, tasks, keys, numbers, strata, named)
        test = np.array([n for n, role in enumerate(roles) if role == "test"], dtype=np.int64)
        fit = representativeness(pool, test, np.array(keys), np.array(strata))
        # A set that the admin named is what it is.
        if named is not None or not fit.redraw:
            break
    _renumber(database, session, project.id, tasks, numbers, era)
    members = [
        member(project.id, era, task.task_id, role, number, now, late=False)
        for task, role, number in zip(tasks, roles, numbers, strict=True)
        if role is not None
    ]
    database.upsert(session, SplitMember, members)
    manifest = _manifest(tasks, roles, numbers)
    held = {role: roles.count(role) for role in ("test", "validation", "control")}
    sizes = Counter(key for key, role in zip(keys, roles, strict=True) if role == "test")
    exact = precision(list(sizes.values()))
    row = HoldoutEra(
        project_id=project.id,
        era=era,
        secret=how.secret,
        group_by=how.group_by,
        strata=list(how.strata),
        intervals={stratum: found.as_document() for stratum, found in intervals.items()},
        frames=[{"size": len(tasks) - len(manifest), "members": held["control"], "at": now}],
        manifest=manifest,
        digest="",
        reports={
            "representativeness": fit_document(fit, redraw, embeddings is not None),
            # A new era forgives no error: what was seen stays, and so does what looking has cost.
            **({} if before is None else looks_before(before.reports)),
            "precision": asdict(exact),
            "asked_for": config.model_dump(mode="json", include=set(DECIDED_BY)),
            "last_task": max((task.task_id for task in tasks), default=0),
            "drawn_groups": drawn_groups(keys, strata, roles, _closed(tasks, keys, named)),
        },
        drawn_at=now,
    )
    row.digest = manifest_digest(row)
    session.add(row)
    project.era = era
    project.holdout_drawn_at = now
    record_event(
        session,
        project.id,
        "info",
        f"Drew the hold-outs of era {era}: {held['test']} test, {held['validation']} validation "
        f"and {held['control']} random control tasks of {len(tasks)}. Manifest "
        f"{row.digest[:12]}. {exact.text} {fit.text}{_alone(config, tasks)}",
    )


def _alone(config: QueueConfig, tasks: Sequence[Any]) -> str:
    """How many tasks have no group, as a sentence; nothing where all have one."""
    if config.group_by is None:
        return ""
    count = sum((task.fields or {}).get(config.group_by) in (None, "") for task in tasks)
    return f" {count:,} tasks have no {config.group_by}: each is drawn alone." if count else ""


def assign_late_tasks(database: Database, session: Session, project: Project) -> int:
    """Give tasks that arrived after the draw the role that their numbers say; how many have one.

    A task of a group that was there before takes that group's role, and one that has the value by
    which the test set was named is of the test set.
    """
    era = current_era(session, project)
    if era is None or project.holdout_drawn_at is None:
        return 0
    unassigned = sa.or_(Task.role_era.is_(None), Task.role_era != era.era)
    late = session.execute(
        sa.select(Task.task_id, Task.fields)
        .where(Task.project_id == project.id, Task.deleted_at.is_(None), unassigned)
        .order_by(Task.task_id)
    ).all()
    if not late:
        return 0
    how = numbering(session, project)
    rates = _late_rates(session, project, how, len(late))
    intervals = {
        stratum: narrowed(Intervals.of_document(document), rates)
        for stratum, document in era.intervals.items()
    }
    elsewhere = widest(intervals)
    known = _roles_of_known_groups(session, project, how) if how.group_by else {}
    named_set = named_test_set(session, project)
    if named_set is not None:
        # Of a named task's group the others are in no set, then as now.
        known = {key: None if role == "test" else role for key, role in known.items()}
    named = tasks_with_value(named_set, {task.task_id: task.fields or {} for task in late})
    known |= {
        how.key(task.task_id, task.fields or {}): None for task in late if task.task_id in named
    }
    numbers, members = [], []
    now = time.time()
    for task in late:
        key = how.key(task.task_id, task.fields or {})
        number = permanent_random_number(how.secret, key)
        numbers.append(number)
        if key not in known:
            part = intervals.get(how.stratum(task.fields or {}), elsewhere)
            known[key] = part.role_of(number)
        role: Role | None = "test" if task.task_id in named else known[key]
        if role is not None:
            members.append(member(project.id, era.era, task.task_id, role, number, now, late=True))
    database.upsert(session, SplitMember, members)
    if members:
        arrival = {"at": now, "rates": rates, "last_task": max(task.task_id for task in late)}
        kept = [*era.reports.get("late_rates", []), arrival]
        era.reports = {**era.reports, "late_rates": kept}
    _renumber(database, session, project.id, late, numbers, era.era)
    return len(members)


def _late_rates(session: Session, project: Project, how: Numbering, late: int) -> dict[Role, float]:
    """The part of the late groups that each role may take, lest evaluation outgrow the budget.

    A pool that was tiny at the draw gave most of itself: of thousands that follow, no more join
    than a pool of that size would have given.
    """
    config = parse_config(project.config)
    held = sizes_of_roles(session, project)
    tasks = living_tasks(session, project.id)
    sizes = Counter(how.key(task.task_id, task.fields or {}) for task in tasks)
    wished = _wished(config, budget_in_tasks(config, project), sizes)
    before = max(len(tasks) - late, 1)
    return {
        role: min(held.get(role, 0) / before, getattr(wished, role) / max(len(sizes), 1))
        for role in ROLES
    }


def _wished(
    config: QueueConfig, budget: int, group_sizes: Mapping[str, int], *, named: bool = False
) -> Sizes:
    """What a pool of these groups gives each role; a `named` test set is not drawn."""
    sizes = list(group_sizes.values())
    wanted = 0 if named else config.test_size
    if wanted is None:
        wanted = wanted_test_size(sizes, budget)
    return affordable_sizes(
        budget,
        sum(sizes),
        len(sizes),
        test=wanted,
        validation=config.validation_size,
        random_share=config.random_share,
        evaluation_cap=config.evaluation_cap,
    )


def budget_in_tasks(config: QueueConfig, project: Project) -> int:
    """How many tasks the budget pays for: where several people label each, it is that many less."""
    return config.budget // max(project.overlap, 1)


def sizes_of_roles(session: Session, project: Project) -> dict[str, int]:
    """How many members each role has in the current era."""
    rows = session.execute(
        sa.select(SplitMember.role, sa.func.count())
        .where(SplitMember.project_id == project.id, SplitMember.era == project.era)
        .group_by(SplitMember.role)
    )
    return {str(role): int(count) for role, count in rows}


def manifest_digest(era: HoldoutEra) -> str:
    """SHA-256 of the era's rule, time and members: what every report shows."""
    document = {
        "era": era.era,
        "rule": {
            "group_by": era.group_by,
            "strata": era.strata,
            # The control's may grow: it is no part of what is frozen.
            "intervals": {
                stratum: {role: part[role] for role in ("test", "validation")}
                for stratum, part in era.intervals.items()
                if part["validation"][1] > 0.0
            },
        },
        "secret": hashlib.sha256(era.secret).hexdigest(),
        "members": era.manifest,
        "drawn_at": era.drawn_at,
    }
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _check_fields(config: QueueConfig, tasks: Sequence[Any]) -> None:
    """A misspelt name would split patients between training and test, and nobody would see it."""
    named = [("strata", name) for name in config.strata]
    if config.group_by is not None:
        named.append(("group_by", config.group_by))
    there = {name for task in tasks for name in task.fields or {}}
    for setting, name in named:
        if tasks and name not in there:
            raise ConfigurationError(
                setting,
                f"No task has a text or number {name!r} in its data; there is "
                f"{', '.join(sorted(there)) or 'no such field'}. Name one of them, import the "
                f"tasks with {name!r}, or leave {setting} out.",
            )


def _check_strata(config: QueueConfig, strata: int, groups: int) -> None:
    if strata > MOST_STRATA or (strata > 1 and groups < FEWEST_GROUPS * strata):
        raise ConfigurationError(
            "strata",
            f"{', '.join(config.strata)} splits {groups:,} groups into {strata:,} strata. There "
            f"may be {MOST_STRATA:,} strata of {FEWEST_GROUPS} groups each on average: name fields "
            "with fewer different values (an id is no stratum), or leave `strata` empty.",
        )


def _roles(
    secret: bytes,
    config: QueueConfig,
    budget: int,
    tasks: Sequence[Any],
    keys: Sequence[str],
    numbers: Sequence[float],
    strata: Sequence[str],
    named: frozenset[int] | None,
) -> tuple[list[Role | None], dict[str, Intervals]]:
    """Each task's role and the intervals; a named test set takes its groups out of the draw."""
    closed = _closed(tasks, keys, named)
    frame = [index for index, key in enumerate(keys) if key not in closed]
    counts = Counter(keys[index] for index in frame)
    intervals = draw_intervals(
        secret,
        [numbers[index] for index in frame],
        [strata[index] for index in frame],
        _wished(config, budget, counts, named=named is not None),
    )
    roles: list[Role | None] = [None] * len(tasks)
    for index in frame:
        roles[index] = intervals[strata[index]].role_of(numbers[index])
    for index, task in enumerate(tasks):
        if named is not None and task.task_id in named:
            roles[index] = "test"
    return roles, intervals


def _closed(tasks: Sequence[Any], keys: Sequence[str], named: frozenset[int] | None) -> set[str]:
    """The groups of a named test set, which take no part in the draw."""
    return {key for task, key in zip(tasks, keys, strict=True) if named and task.task_id in named}


def _manifest(
    tasks: Sequence[Any], roles: Sequence[Role | None], numbers: Sequence[float]
) -> list[list[Any]]:
    """[task, role, content's hash, u] of the frozen sets, in order of their numbers."""
    frozen = [
        [task.task_id, role, task.content_hash.hex() if task.content_hash else None, number]
        for task, role, number in zip(tasks, roles, numbers, strict=True)
        if role in ("test", "validation")
    ]
    return sorted(frozen, key=lambda member: (member[1], member[3], member[0]))


def _renumber(
    database: Database,
    session: Session,
    project_id: int,
    tasks: Sequence[Any],
    numbers: Sequence[float],
    era: int,
) -> None:
    rows = [
        {"project_id": project_id, "task_id": task.task_id, "u": number, "role_era": era}
        for task, number in zip(tasks, numbers, strict=True)
    ]
    database.upsert(session, Task, rows)


def _roles_of_known_groups(
    session: Session, project: Project, how: Numbering
) -> dict[str, Role | None]:
    """The role of every group that has a task with a decided role."""
    decided = session.execute(
        sa.select(Task.task_id, Task.fields, SplitMember.role)
        .outerjoin(
            SplitMember,
            sa.and_(
                SplitMember.project_id == Task.project_id,
                SplitMember.task_id == Task.task_id,
                SplitMember.era == project.era,
            ),
        )
        .where(Task.project_id == project.id, Task.role_era == project.era)
        .order_by(Task.task_id.desc())
    )
    # The oldest task decides: its row comes last.
    return {how.key(row.task_id, row.fields or {}): row.role for row in decided}
