"""Rules by hand: Data Manager tabs whose title says what to do with the tasks that they show.

`AskNext pin …` queues its tasks first, `AskNext exclude …` never, and `AskNext boost 3 …` with
three times the weight. A tab without a filter shows everything and is no rule: it is a tab that
somebody is still setting up.
"""

import logging
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.config import digest_of
from backend.errors import LabelStudioRefusedError
from backend.labelstudio import PAGE_SIZE, LabelStudio
from backend.rounds.mirror import annotated_task_ids
from backend.store.database import Database
from backend.store.projects import record_event, set_values
from backend.store.tables import HandRule, HandRuleTask, Project
from backend.store.work import Lease

logger = logging.getLogger(__name__)

TITLE = re.compile(r"\s*asknext\s+(pin|exclude|boost)\b\s*(\S*)", re.IGNORECASE)
# How often the tabs are looked at, however often the project syncs.
LOOK_SECONDS = 5.0
# A tab that shows more tasks than one page is read again this often, unless it was changed.
LARGE_TAB_SECONDS = 600.0
# The tasks of an unchanged tab make a new window no more often than this: a filter on what a window
# itself changes (a prediction's score) would else publish one after another for ever.
SETTLING_SECONDS = 120.0
HEAVIEST = 1000.0


@dataclass(frozen=True)
class RuleBook:
    """What the rules in force say of the project's tasks; an exclusion beats a pin."""

    pinned: frozenset[int] = frozenset()
    excluded: frozenset[int] = frozenset()
    weights: dict[int, float] = field(default_factory=dict)

    def pins_among(self, task_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_] | None:
        """(n,) bool: the pinned ones of these tasks; None where nothing is pinned."""
        return np.isin(task_ids, list(self.pinned)) if self.pinned else None

    def weights_of(self, task_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
        """(n,) float64: the boost of each task, 1 where there is none; None without any boost."""
        if not self.weights:
            return None
        return np.array([self.weights.get(int(task), 1.0) for task in task_ids], dtype=np.float64)


@dataclass(frozen=True)
class Tab:
    """A tab that is meant as a rule; `error` says why it cannot be one."""

    view_id: int
    kind: str
    weight: float
    title: str
    digest: str
    filters: dict[str, Any]
    error: str | None


def read_rule_book(session: Session, project_id: int) -> RuleBook:
    """The rules in force, as last read. Boosts of one task multiply."""
    pinned: set[int] = set()
    excluded: set[int] = set()
    weights: dict[int, float] = {}
    rows = session.execute(
        sa.select(HandRule.kind, HandRule.weight, HandRuleTask.task_id)
        .join(
            HandRuleTask,
            sa.and_(
                HandRuleTask.project_id == HandRule.project_id,
                HandRuleTask.view_id == HandRule.view_id,
            ),
        )
        .where(HandRule.project_id == project_id)
    )
    for kind, weight, task_id in rows:
        if kind == "pin":
            pinned.add(task_id)
        elif kind == "exclude":
            excluded.add(task_id)
        else:
            weights[task_id] = weights.get(task_id, 1.0) * weight
    return RuleBook(frozenset(pinned - excluded), frozenset(excluded), weights)


def tab_of(view: dict[str, Any]) -> Tab | None:
    """The rule that a Data Manager tab stands for; None for any other tab."""
    data = view.get("data") or {}
    title = str(data.get("title") or "").strip()
    found = TITLE.match(title)
    if found is None:
        return None
    kind = found.group(1).lower()
    error, weight = None, 1.0
    if kind == "boost":
        weight, error = _weight(found.group(2))
    filters = data.get("filters") or {}
    if not filters.get("items"):
        error = "The tab has no filter, so it shows every task; add one to make it a rule."
    return Tab(int(view["id"]), kind, weight, title, digest_of([title, filters]), filters, error)


def _weight(text: str) -> tuple[float, str | None]:
    try:
        weight = float(text.rstrip(":;,."))  # as in "AskNext boost 3: the rare ones"
    except ValueError:
        weight = math.nan
    if 0 <= weight <= HEAVIEST:
        return weight, None
    return 1.0, (
        f"The weight of the boost must be a number from 0 to {HEAVIEST:g}, not {text!r}: call the "
        "tab, for example, AskNext boost 3."
    )


class Rules:
    """Reads the rules of one project; the caller holds the project's `sync` lease."""

    def __init__(self, database: Database, client: LabelStudio, lease: Lease) -> None:
        self._database = database
        self._client = client
        self._lease = lease

    def read(self) -> bool:
        """Look at the tabs; whether anything changed for a task that is not annotated yet.

        The change is recorded in the project, so that the next window heeds it whoever makes it.
        """
        with self._database.read() as session:
            project = session.get_one(Project, self._lease.project_id)
            known = {
                rule.view_id: rule
                for rule in session.scalars(
                    sa.select(HandRule).where(HandRule.project_id == project.id)
                )
            }
        now = time.time()
        if now - (project.rules_read_at or 0.0) < LOOK_SECONDS:
            return False
        try:
            views = self._client.views(project.label_studio_id)
        except LabelStudioRefusedError as error:
            self._warn(f"The tabs cannot be read; the rules stay as they were: {error}")
            return False
        tabs = [tab for view in views if (tab := tab_of(view)) is not None]
        fresh: dict[int, list[int]] = {}
        for place, tab in enumerate(tabs):
            before = known.get(tab.view_id)
            try:
                tasks = self._tasks(project, tab, before, now)
            except LabelStudioRefusedError as error:
                # A filter that Label Studio itself cannot apply must not stop the sync. One that it
                # did apply stays in force: a hiccup must not queue what is excluded.
                if before is not None and before.digest == tab.digest and before.error is None:
                    self._warn(f"The tab {tab.title!r} cannot be read; it stays as it was: {error}")
                    continue
                tabs[place] = replace(tab, error=str(error)[:500])
                tasks = []
            if tasks is not None:
                fresh[tab.view_id] = tasks
        return self._store(project, known, tabs, fresh, now)

    def _tasks(
        self, project: Project, tab: Tab, before: HandRule | None, now: float
    ) -> list[int] | None:
        """The tasks that a tab shows; None where what is known of them is still good."""
        if tab.error is not None:
            return []
        edited = _edited(tab, before)
        large = before is not None and not edited and before.matched > PAGE_SIZE
        if large and before is not None and now - before.read_at < LARGE_TAB_SECONDS:
            return None
        found: list[int] = []
        page = 1
        while True:
            # By the tab's filters and in an order of our own: by the tab's, equal ones could fall
            # between two pages.
            tasks, total = self._client.tasks(
                project.label_studio_id,
                fields="task_only",
                include="id",
                filters=tab.filters["items"],
                conjunction=tab.filters.get("conjunction", "and"),
                page=page,
            )
            found += [int(task["id"]) for task in tasks]
            if len(tasks) < PAGE_SIZE or len(found) >= total:
                return list(dict.fromkeys(found))
            self._lease.report(stage="sync", what="rules", done=len(found), total=total)
            page += 1

    def _warn(self, message: str) -> None:
        logger.warning("%s", message)
        with self._database.write() as session:
            record_event(session, self._lease.project_id, "warning", message[:1000])

    def _store(
        self,
        project: Project,
        known: dict[int, HandRule],
        tabs: Sequence[Tab],
        fresh: dict[int, list[int]],
        now: float,
    ) -> bool:
        with self._database.write() as session:
            self._lease.check(session)
            before = read_rule_book(session, project.id)
            gone = set(known) - {tab.view_id for tab in tabs}
            for view_id in gone | fresh.keys():
                _forget(session, project.id, view_id)
            for tab in tabs:
                if tab.view_id in fresh:
                    tasks = fresh[tab.view_id]
                    session.add(
                        HandRule(
                            project_id=project.id,
                            view_id=tab.view_id,
                            kind=tab.kind,
                            weight=tab.weight,
                            title=tab.title,
                            digest=tab.digest,
                            matched=len(tasks),
                            error=tab.error,
                            read_at=now,
                        )
                    )
                    session.flush()
                    rows = [
                        {"project_id": project.id, "view_id": tab.view_id, "task_id": task}
                        for task in tasks
                    ]
                    if rows:  # in one go: everybody else who writes waits for it
                        session.execute(sa.insert(HandRuleTask), rows)
            answered = annotated_task_ids(session, project.id)
            after = read_rule_book(session, project.id)
            changed = _open(before, answered) != _open(after, answered)
            edited = bool(gone) or any(_edited(tab, known.get(tab.view_id)) for tab in tabs)
            if (
                changed
                and not edited
                and now - (project.rules_changed_at or 0.0) < SETTLING_SECONDS
            ):
                session.rollback()  # looked at again, and still different, once it has settled
                return False
            set_values(session, project.id, rules_read_at=now)
            if changed:
                set_values(session, project.id, rules_changed_at=now)
        return changed


def _edited(tab: Tab, before: HandRule | None) -> bool:
    """Whether a tab is new, or another than it was, or can only now be read."""
    return before is None or before.digest != tab.digest or before.error != tab.error


def _forget(session: Session, project_id: int, view_id: int) -> None:
    for table in (HandRuleTask, HandRule):
        session.execute(
            sa.delete(table).where(table.project_id == project_id, table.view_id == view_id)
        )
    session.expire_all()


def _open(book: RuleBook, answered: set[int]) -> RuleBook:
    """The same rules, of the tasks that are not annotated yet."""
    return RuleBook(
        book.pinned - answered,
        book.excluded - answered,
        {task: weight for task, weight in book.weights.items() if task not in answered},
    )
