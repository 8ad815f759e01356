"""Reading what changed in Label Studio: the only source of truth about tasks and annotations.

A webhook only says that something may have changed. What did is found here, by the server's own
clock, so that lost, late, doubled or forged events change nothing.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from backend.errors import LabelStudioRefusedError, UnsupportedLabelConfigError
from backend.evaluation.holdout import (
    draw_holdout,
    holdout_sizes,
    permanent_random_number,
)
from backend.label_schema import LabelSchema, parse_label_config
from backend.labelstudio import LabelStudio, updated_after
from backend.rounds import mirror, queue
from backend.rounds.labels import derive_labels
from backend.store.database import Database
from backend.store.projects import record_event, set_values
from backend.store.tables import Project, SplitMember
from backend.store.work import Lease

logger = logging.getLogger(__name__)

SAMPLING = "Uncertainty sampling"
# Changes are looked for from this long before the newest one seen: transactions of Label Studio
# that began earlier may end later.
CURSOR_MARGIN = timedelta(seconds=10)
# A task holds annotations where one of these is not zero; skips count in the second alone.
COUNTERS = ("total_annotations", "cancelled_annotations")


@dataclass(frozen=True)
class SyncReport:
    """What one sync found."""

    tasks_seen: int
    label_changes: int
    first: bool
    holdout_drawn: bool


class Sync:
    """One sync of one project; the caller holds the project's `sync` lease."""

    def __init__(
        self,
        database: Database,
        client: LabelStudio,
        lease: Lease,
        *,
        stable_total_seconds: float,
        report: Callable[..., None] | None = None,
    ) -> None:
        self._database = database
        self._client = client
        self._lease = lease
        self._stable_total_seconds = stable_total_seconds
        self._report = report or lease.report

    def run(self) -> SyncReport:
        """Read everything that changed since the cursor.

        Raises:
            ProjectGoneError: the project no longer exists.
            LabelStudioError: Label Studio could not be read; what was read so far is kept.
        """
        project = self._project()
        remote = self._client.project(project.label_studio_id)
        self._follow_settings(project, remote)
        project = self._project()
        first = project.first_synced_at is None
        seen = self._read_first(project) if first else 0
        changed, changes = self._read_changes(self._project())
        self._read_deletions(self._project())
        drawn = self._draw_holdout_when_stable()
        with self._database.write() as session:
            self._lease.check(session)
            project = session.get_one(Project, self._lease.project_id)
            queue.resolve_answered(session, project)
            set_values(session, project.id, last_synced_at=time.time())
        return SyncReport(seen + changed, changes, first, drawn)

    # ---------------------------------------------------------------- settings and schema

    def _follow_settings(self, project: Project, remote: dict[str, Any]) -> None:
        """Take over a changed title or labelling config; put back what the queue depends on."""
        with self._database.write() as session:
            self._lease.check(session)
            kept = session.get_one(Project, project.id)
            kept.title = str(remote.get("title") or kept.title)
            if remote["label_config"] != kept.label_config or not kept.classes:
                apply_label_config(self._database, session, kept, str(remote["label_config"]))
            staged = queue.staged_versions(session, project.id)
        if project.state != "active":
            return
        wanted: dict[str, Any] = {}
        if remote.get("sampling") != SAMPLING:
            wanted["sampling"] = SAMPLING
        version = remote.get("model_version")
        # A staged version in force is a switch that a crash left unrecorded; publishing ends it.
        if project.queue_version and version != project.queue_version and version not in staged:
            wanted["model_version"] = project.queue_version
        if not wanted:
            return
        names = " and ".join(wanted)
        try:
            self._client.update_project(project.label_studio_id, **wanted)
            message = f"{names} had been changed in Label Studio; AskNext set it back."
        except LabelStudioRefusedError as error:
            if "model_version" not in wanted:
                raise
            message = (
                f"{names} had been changed in Label Studio and cannot be set back ({error}); "
                "a new window is published."
            )
            with self._database.write() as session:
                set_values(session, project.id, queue_version=None)
        with self._database.write() as session:
            record_event(session, project.id, "warning", message)

    # ---------------------------------------------------------------- reading

    def _read_first(self, project: Project) -> int:
        """List every task; goes on where an interrupted first sync stopped."""
        client, number = self._client, project.label_studio_id
        if project.cursor is None:
            newest = client.latest_update(number)
            with self._database.write() as session:
                self._lease.check(session)
                set_values(session, project.id, cursor=newest and _earlier(newest))
        total = client.total(number)
        with self._database.read() as session:
            known = mirror.read_task_ids(session, project.id)
        done = len(known)
        for page in client.task_pages(
            number, fields="task_only", include="id,data", after=max(known, default=0)
        ):
            with self._database.write() as session:
                self._lease.check(session)
                mirror.write_tasks(self._database, session, project, page)
            done += len(page)
            self._report(stage="sync", what="tasks", done=done, total=total)
        for counter in COUNTERS:
            self._read_annotations(project, [_positive(counter)])
        with self._database.write() as session:
            self._lease.check(session)
            set_values(session, project.id, first_synced_at=time.time())
        return done

    def _read_changes(self, project: Project) -> tuple[int, int]:
        """Tasks and annotations changed since the cursor; then move the cursor."""
        client, number = self._client, project.label_studio_id
        # Asked for before anything is read: what changes while we read is found the next time.
        newest = client.latest_update(number)
        if newest is None:
            return 0, 0
        filters = [updated_after(project.cursor)] if project.cursor else []
        seen = 0
        changes = 0
        counted: set[str] = set()
        for page in client.task_pages(
            number,
            fields="task_only",
            include="id,data,updated_at,total_annotations,cancelled_annotations",
            filters=filters,
        ):
            bare = [
                int(task["id"])
                for task in page
                if not task["total_annotations"] and not task["cancelled_annotations"]
            ]
            counted |= {name for name in COUNTERS for task in page if task[name]}
            with self._database.write() as session:
                self._lease.check(session)
                mirror.write_tasks(self._database, session, project, page)
                touched = mirror.write_tasks_without_annotations(session, project.id, bare)
                changes += derive_labels(self._database, session, project, touched)
            seen += len(page)
            self._report(stage="sync", what="changes", done=seen)
        for counter in COUNTERS:
            if counter in counted:
                changes += self._read_annotations(project, [*filters, _positive(counter)])
        with self._database.write() as session:
            self._lease.check(session)
            set_values(session, project.id, cursor=_earlier(newest))
        return seen, changes

    def _read_annotations(self, project: Project, filters: list[dict[str, Any]]) -> int:
        changes = 0
        done = 0
        for page in self._client.task_pages(project.label_studio_id, fields="all", filters=filters):
            with self._database.write() as session:
                self._lease.check(session)
                touched = mirror.write_annotations(self._database, session, project.id, page)
                changes += derive_labels(self._database, session, project, touched)
            done += len(page)
            self._report(stage="sync", what="annotations", done=done)
        return changes

    def _read_deletions(self, project: Project) -> None:
        """Deleted tasks move no clock: they are looked for only where the counts disagree."""
        total = self._client.total(project.label_studio_id)
        with self._database.read() as session:
            known = mirror.live_task_ids(session, project.id)
        if total != len(known):
            present: set[int] = set()
            for page in self._client.task_pages(
                project.label_studio_id, fields="task_only", include="id"
            ):
                present.update(int(task["id"]) for task in page)
                self._report(stage="sync", what="deletions", done=len(present), total=total)
            gone = known - present
            missed = present - known
            if gone:
                with self._database.write() as session:
                    self._lease.check(session)
                    mirror.delete_tasks(session, project.id, gone)
                    derive_labels(self._database, session, project, gone)
            if missed:
                self._read_missed(project, missed)
        with self._database.write() as session:
            self._lease.check(session)
            now = time.time()
            kept = session.get_one(Project, project.id)
            kept.total = total
            if kept.stable_total != total:
                kept.stable_total = total
                kept.stable_total_at = now

    def _read_missed(self, project: Project, missed: set[int]) -> None:
        """Tasks that no change query showed (a clock set back, a restored database)."""
        lowest = min(missed) - 1
        for page in self._client.task_pages(project.label_studio_id, fields="all", after=lowest):
            wanted = [task for task in page if int(task["id"]) in missed]
            with self._database.write() as session:
                self._lease.check(session)
                mirror.write_tasks(self._database, session, project, wanted)
                touched = mirror.write_annotations(self._database, session, project.id, wanted)
                derive_labels(self._database, session, project, touched)
            missed = missed - {int(task["id"]) for task in wanted}
            if not missed:
                return

    # ---------------------------------------------------------------- hold-outs

    def _draw_holdout_when_stable(self) -> bool:
        """Draw the hold-outs once, when two syncs far enough apart saw the same total."""
        with self._database.write() as session:
            self._lease.check(session)
            project = session.get_one(Project, self._lease.project_id)
            if (
                project.holdout_drawn_at is not None
                or project.first_synced_at is None
                or not project.total
                or project.stable_total_at is None
                or time.time() - project.stable_total_at < self._stable_total_seconds
            ):
                return False
            draw_splits(self._database, session, project)
            return True

    def _project(self) -> Project:
        with self._database.read() as session:
            return session.get_one(Project, self._lease.project_id)


def draw_splits(database: Database, session: Session, project: Project) -> None:
    """Draw the test and validation splits of a new era from every task, labelled or not."""
    task_ids = sorted(mirror.live_task_ids(session, project.id))
    config = project.config
    test_size, validation_size = holdout_sizes(
        int(config["budget"]),
        len(task_ids),
        test=int(config["test_size"]),
        validation=int(config["validation_size"]),
    )
    keys = [str(task_id) for task_id in task_ids]
    holdout = draw_holdout(keys, project.secret, test_size, validation_size)
    now = time.time()
    era = project.era + 1
    rows = [
        {
            "project_id": project.id,
            "era": era,
            "task_id": task_ids[index],
            "role": role,
            "u": permanent_random_number(project.secret, keys[index]),
            "drawn_at": now,
        }
        for role, members in (("test", holdout.test), ("validation", holdout.validation))
        for index in members
    ]
    database.upsert(session, SplitMember, rows)
    project.era = era
    project.holdout_drawn_at = now
    record_event(
        session,
        project.id,
        "info",
        f"Drew the hold-outs of era {era}: {len(holdout.test)} test and "
        f"{len(holdout.validation)} validation tasks of {len(task_ids)}.",
    )


def apply_label_config(
    database: Database, session: Session, project: Project, label_config: str
) -> None:
    """Follow a changed labelling config: a new numbered label schema, labels derived again."""
    project.label_config = label_config
    try:
        schema = parse_label_config(label_config, project.config.get("control"))
    except UnsupportedLabelConfigError as error:
        project.classes = []
        project.last_error = str(error)
        project.last_error_at = time.time()
        record_event(session, project.id, "error", str(error))
        return
    before = (project.control, project.data_key, tuple(project.classes))
    if before == (schema.control, schema.data_key, schema.classes):
        project.object_name, project.kind = schema.object_name, schema.kind
        return
    removed = [name for name in project.classes if name not in schema.classes]
    other_content = project.data_key != schema.data_key
    if not project.classes:  # whatever was said of an unusable config is no longer true
        project.last_error = project.last_error_at = None
    project.control, project.object_name = schema.control, schema.object_name
    project.kind, project.data_key = schema.kind, schema.data_key
    project.classes = list(schema.classes)
    project.schema_number += 1
    session.flush()
    if other_content:
        mirror.rehash_tasks(session, project.id)
        project.first_synced_at = None
        project.cursor = None
    changes = derive_labels(database, session, project, None)
    if project.schema_number > 1:
        lost = f"; {', '.join(removed)} no longer exist" if removed else ""
        record_event(
            session,
            project.id,
            "warning",
            f"The labelling config changed: label schema {project.schema_number} with "
            f"{len(schema.classes)} classes{lost}; {changes} labels changed.",
        )


def schema_of(project: Project) -> LabelSchema | None:
    """The project's label schema as stored; None while the labelling config is unusable."""
    if not project.classes or project.kind not in ("text", "image"):
        return None
    return LabelSchema(
        str(project.control),
        str(project.object_name),
        "text" if project.kind == "text" else "image",
        str(project.data_key),
        tuple(project.classes),
    )


def _positive(counter: str) -> dict[str, Any]:
    """The Data Manager filter for tasks whose counter is not zero."""
    return {
        "filter": f"filter:tasks:{counter}",
        "operator": "greater",
        "type": "Number",
        "value": 0,
    }


def _earlier(moment: str) -> str:
    """An ISO 8601 moment of the server, moved back by the cursor's margin."""
    parsed = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (parsed - CURSOR_MARGIN).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
