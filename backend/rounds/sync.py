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

from backend.budget import is_spent
from backend.errors import LabelStudioRefusedError
from backend.labelstudio import LabelStudio, updated_after
from backend.rounds import mirror, queue
from backend.rounds.control import extend_control
from backend.rounds.draw_when_stable import draw_when_stable
from backend.rounds.holdout import PoolEmbeddings, assign_late_tasks
from backend.rounds.labels import derive_labels
from backend.rounds.schema import apply_label_config
from backend.store.database import Database
from backend.store.projects import record_event, set_values
from backend.store.tables import Project
from backend.store.work import Lease
from backend.stream import BUDGET_SPENT, BY_HAND

logger = logging.getLogger(__name__)

SAMPLING = "Uncertainty sampling"
# Changes are looked for from this long before the newest one seen: transactions of Label Studio
# that began earlier may end later.
CURSOR_MARGIN = timedelta(seconds=10)
# How often a differing count of annotations is believed.
RECOUNT_SECONDS = 600.0
# Up to so many changed tasks are read whole, in one request.
FEW_CHANGES = 100
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
        embeddings: PoolEmbeddings | None = None,
        report: Callable[..., None] | None = None,
    ) -> None:
        self._database = database
        self._client = client
        self._lease = lease
        self._stable_total_seconds = stable_total_seconds
        self._embeddings = embeddings
        self._report = report or lease.report
        self._listed_since: float | None = None

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
        self._read_deletions(self._project(), int(remote["task_number"]))
        if not changes:
            changes += self._read_annotations_again(
                self._project(), remote.get("useful_annotation_number")
            )
        drawn = self._draw_holdout_when_stable()
        with self._database.write() as session:
            self._lease.check(session)
            project = session.get_one(Project, self._lease.project_id)
            queue.resolve_answered(session, project)
            assign_late_tasks(self._database, session, project)
            extend_control(self._database, session, project)
            set_values(session, project.id, last_synced_at=time.time())
        return SyncReport(seen + changed, changes, first, drawn)

    # ---------------------------------------------------------------- settings and schema

    def _follow_settings(self, project: Project, remote: dict[str, Any]) -> None:
        """Take over a changed title or labelling config; put back what the queue depends on."""
        with self._database.write() as session:
            self._lease.check(session)
            kept = session.get_one(Project, project.id)
            kept.title = str(remote.get("title") or kept.title)
            serves = int(remote.get("maximum_annotations") or 0)
            kept.overlap = serves or kept.overlap
            if kept.state == "active" and kept.paused_overlap is not None and not serves:
                # Whoever paused it died between Label Studio's answer and this record.
                kept.state = "paused"
                kept.pause_reason = BUDGET_SPENT if is_spent(session, kept) else BY_HAND
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
        shown = project.config.get("preannotate") == "queue"
        if remote.get("show_collab_predictions") != shown:
            wanted["show_collab_predictions"] = shown
            # Label Studio forgets the version where it is told to show nothing.
            if project.queue_version:
                wanted["model_version"] = version if version in staged else project.queue_version
        if not wanted:
            return
        names = " and ".join(wanted)
        try:
            self._client.update_project(project.label_studio_id, **wanted)
            message = f"{names} had been changed in Label Studio; AskNext set it back."
        except LabelStudioRefusedError as error:
            if "model_version" not in wanted or error.status != 400:
                raise
            message = f"{names} cannot be set in Label Studio ({error}); a new window is published."
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
            self._listed_since = time.time()
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
        if project.cursor is not None:
            few = self._read_few_changes(project, project.cursor)
            if few is not None:
                return few
        client, number = self._client, project.label_studio_id
        # Asked for before anything is read: what changes while we read is found the next time.
        newest = client.latest_update(number)
        if newest is None:
            return 0, 0
        filters = [updated_after(project.cursor)] if project.cursor else []
        started = time.time()
        waited = started - (self._listed_since or project.last_synced_at or started)
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
            set_values(session, project.id, cursor=_next_cursor(project, newest, waited))
        return seen, changes

    def _read_few_changes(self, project: Project, cursor: str) -> tuple[int, int] | None:
        """The usual case, in one request: few tasks changed. None where there are more.

        One page is one look at the server, so that its newest task can move the cursor.
        """
        page, total = self._client.tasks(
            project.label_studio_id,
            fields="all",
            filters=[updated_after(cursor)],
            page_size=FEW_CHANGES,
        )
        if total > len(page):
            return None
        newest = max((str(task["updated_at"]) for task in page), default=None)
        with self._database.write() as session:
            self._lease.check(session)
            mirror.write_tasks(self._database, session, project, page)
            touched = mirror.write_annotations(self._database, session, project.id, page)
            changes = derive_labels(self._database, session, project, touched)
            if newest is not None:
                set_values(session, project.id, cursor=max(cursor, _earlier(newest)))
        return len(page), changes

    def _read_annotations(
        self, project: Project, filters: list[dict[str, Any]], present: set[int] | None = None
    ) -> int:
        """Read the matching tasks' annotations; their ids are added to `present` where given."""
        changes = 0
        done = 0
        for page in self._client.task_pages(project.label_studio_id, fields="all", filters=filters):
            with self._database.write() as session:
                self._lease.check(session)
                touched = mirror.write_annotations(self._database, session, project.id, page)
                changes += derive_labels(self._database, session, project, touched)
            if present is not None:
                present.update(int(task["id"]) for task in page)
            done += len(page)
            self._report(stage="sync", what="annotations", done=done)
        return changes

    def _read_annotations_again(self, project: Project, counted: int | None) -> int:
        """Read every annotation anew where the server's count disagrees with ours.

        A clock that was set back, or a database restored from a backup, hides changes from the
        cursor. The count says so; it is believed once in a while, for a difference may stay.
        """
        with self._database.read() as session:
            ours = mirror.count_useful_annotations(session, project.id)
        recently = time.time() - (project.recounted_at or 0.0) < RECOUNT_SECONDS
        if counted is None or counted == ours or recently:
            return 0
        with self._database.write() as session:
            self._lease.check(session)
            set_values(session, project.id, recounted_at=time.time())
            known = mirror.annotated_task_ids(session, project.id)
        changes = 0
        present: set[int] = set()
        for counter in COUNTERS:
            changes += self._read_annotations(project, [_positive(counter)], present)
        with self._database.write() as session:
            self._lease.check(session)
            touched = mirror.write_tasks_without_annotations(session, project.id, known - present)
            changes += derive_labels(self._database, session, project, touched)
            if changes:
                record_event(
                    session,
                    project.id,
                    "warning",
                    f"{changes} label changes were found by counting alone: Label Studio's clock "
                    "was set back, or its database restored.",
                )
        return changes

    def _read_deletions(self, project: Project, total: int) -> None:
        """Deleted tasks move no clock: they are looked for only where the counts disagree.

        `total` was counted before the changes were read: it is counted again before it is believed.
        """
        with self._database.read() as session:
            count = mirror.count_live_tasks(session, project.id)
        if total != count:
            total = self._client.total(project.label_studio_id)
        if total != count:
            with self._database.read() as session:
                known = mirror.live_task_ids(session, project.id)
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
        with self._database.write() as session:
            self._lease.check(session)
            project = session.get_one(Project, self._lease.project_id)
            return draw_when_stable(
                self._database, session, project, self._stable_total_seconds, self._embeddings
            )

    def _project(self) -> Project:
        with self._database.read() as session:
            return session.get_one(Project, self._lease.project_id)


def _positive(counter: str) -> dict[str, Any]:
    """The Data Manager filter for tasks whose counter is not zero."""
    return {
        "filter": f"filter:tasks:{counter}",
        "operator": "greater",
        "type": "Number",
        "value": 0,
    }


def _next_cursor(project: Project, newest: str, waited: float) -> str:
    """From where to look next, after everything up to `newest` was read.

    `waited` are the seconds between the beginning of this reading and of the one before it.

    After an import thousands of tasks share the last seconds: once they were read again and the
    margin has passed without anything newer, they need not be read with every sync.
    """
    if project.cursor == _earlier(newest) and waited >= CURSOR_MARGIN.total_seconds():
        return _earlier(newest, timedelta(0))
    return _earlier(newest)


def _earlier(moment: str, margin: timedelta = CURSOR_MARGIN) -> str:
    """An ISO 8601 moment of the server, moved back by the cursor's margin."""
    parsed = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (parsed - margin).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
