"""Putting a window in force in Label Studio: import under a new version, then switch to it.

The switch (patching the project's `model_version`) is atomic, so that annotators meet the old queue
or the new one, never a mixture. A repeated import stores duplicates: every attempt has a version of
its own, and a top-up first asks what the version in force holds.
"""

import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from backend.errors import LabelStudioError, LabelStudioRefusedError
from backend.label_schema import LabelSchema
from backend.labelstudio import LabelStudio
from backend.rounds import queue
from backend.rounds.explain_field import write_sentences
from backend.rounds.mirror import delete_tasks
from backend.rounds.reasons import NEUTRAL, sentence
from backend.rounds.rules import read_rule_book
from backend.rounds.second_opinions import Repeat, repeats, unanswered_repeats
from backend.rounds.window import Choice, Position, Stock, compose, with_current_roles
from backend.store.database import Database
from backend.store.projects import installation_name, queue_version, record_event, set_values
from backend.store.tables import Project
from backend.store.work import Lease

logger = logging.getLogger(__name__)

IMPORT_CHUNK = 1000
UNKNOWN_TASK = re.compile(r"task ID (\d+) not found")


@dataclass(frozen=True)
class Publisher:
    """Publishes windows of one project; the caller holds the project's `sync` lease.

    `choose` is the strategy: (count, taken tasks) → choices. `predict` gives the labels to show
    for tasks that are not blind (only asked where the project pre-annotates). `blocked` are tasks
    that the strategy may not choose, as of its last choice.
    """

    database: Database
    client: LabelStudio
    lease: Lease
    choose: Callable[[int, frozenset[int]], Sequence[Choice]]
    predict: Callable[[Sequence[int]], dict[int, str]]
    schema: LabelSchema
    blocked: Callable[[], Collection[int]] = frozenset

    def publish(self, round_number: int, guard: Callable[[Session], None]) -> str:
        """Compose the window anew and switch Label Studio to it; the version now in force.

        `guard` is called inside every transaction and before the switch: it raises where this
        round is no longer the caller's.
        """
        self._finish_or_forget()
        tries = 0
        while True:
            version, entries = self._stage_new(round_number, guard)
            again = self._ask_again({position.task_id for _, position in entries})
            if not entries and not again:
                # Everything is labelled: the window in force stays, and runs out; no rule by hand
                # asks for another either.
                with self.database.write() as session:
                    set_values(session, self.lease.project_id, rules_changed_at=None)
                return self._project_row().queue_version or version
            try:
                self._import(version, entries, again)
                break
            except LabelStudioRefusedError as error:
                tries += 1
                if not self._drop_unknown_task(error) or tries > 100:
                    raise
        with self.database.read() as session:
            guard(session)
            self.lease.check(session)
        self.client.update_project(self._project_row().label_studio_id, model_version=version)
        with self.database.write() as session:
            guard(session)
            self.lease.check(session)
            project = session.get_one(Project, self.lease.project_id)
            queue.put_in_force(self.database, session, project, version)
            queue.resolve_answered(session, project)
        return version

    def top_up(self, size: int, round_number: int) -> int:
        """Append positions to the version in force until `size` are unanswered; how many."""
        self._finish_or_forget(keep_top_up=True)
        with self.database.read() as session:
            project = session.get_one(Project, self.lease.project_id)
            version = project.queue_version
            label_studio_id = project.label_studio_id
        if version is None:
            return 0
        held = self.client.tasks_of_version(label_studio_id, version)
        with self.database.write() as session:
            self.lease.check(session)
            project = session.get_one(Project, self.lease.project_id)
            # Staged picks that Label Studio holds were imported before a crash.
            queue.put_in_force(self.database, session, project, version, held)
            queue.resolve_answered(session, project)
        with self.database.read() as session:
            project = session.get_one(Project, self.lease.project_id)
            state = queue.current_queue(session, project)
            stock = queue.stock(session, project)
        positions = self._compose(project, state, stock, size, keep_strategy=True)
        known = {position.ordinal for position in state.positions}
        fresh = [
            position
            for position in positions
            if position.ordinal not in known and position.task_id not in held
        ]
        if not fresh:
            return 0
        entries = [
            (state.last_position + 1 + offset, position) for offset, position in enumerate(fresh)
        ]
        with self.database.write() as session:
            self.lease.check(session)
            queue.stage(session, project, version, round_number, entries)
        try:
            self._import(version, entries)
        except LabelStudioRefusedError as error:
            with self.database.write() as session:
                queue.drop_staged(session, project.id, version)
            if self._drop_unknown_task(error):
                return self.top_up(size, round_number)
            raise
        with self.database.write() as session:
            self.lease.check(session)
            project = session.get_one(Project, self.lease.project_id)
            queue.put_in_force(self.database, session, project, version)
        return len(entries)

    def _ask_again(self, queued: set[int]) -> list[Repeat]:
        """Let Label Studio serve labelled tasks to one person more; those that it will serve.

        Which these are is recorded first, so that `disconnect` can take it back.
        """
        with self.database.write() as session:
            self.lease.check(session)
            project = session.get_one(Project, self.lease.project_id)
            wanted = repeats(session, project, queued)
            raised = {one.task_id for one in wanted} | unanswered_repeats(session, project)
            if raised or project.restore.get("raised"):
                project.restore = {**project.restore, "raised": sorted(raised)}
        served = []
        for one in wanted:
            try:
                # Label Studio does not see for itself that a task with a higher overlap is open.
                self.client.update_task(one.task_id, overlap=one.opinions, is_labeled=False)
            except LabelStudioRefusedError as error:
                logger.warning("Task %d is not asked again: %s", one.task_id, error)
                continue
            served.append(one)
        return served

    def _finish_or_forget(self, *, keep_top_up: bool = False) -> None:
        """Record a switch that a crash left unrecorded, and forget attempts that never came so far.

        Whether a staged version came into force is for Label Studio to say. `keep_top_up` leaves
        what is staged for the version in force: an unfinished top-up.
        """
        with self.database.read() as session:
            project = session.get_one(Project, self.lease.project_id)
            staged = queue.staged_versions(session, project.id)
            label_studio_id = project.label_studio_id
        if not staged - ({project.queue_version} if keep_top_up else set()):
            return
        in_force = self.client.project(label_studio_id).get("model_version")
        with self.database.write() as session:
            self.lease.check(session)
            project = session.get_one(Project, self.lease.project_id)
            if in_force in staged and in_force != project.queue_version:
                queue.put_in_force(self.database, session, project, str(in_force))
                queue.resolve_answered(session, project)
            for version in staged:
                if not (keep_top_up and version == project.queue_version):
                    queue.drop_staged(session, project.id, version)

    def _stage_new(
        self, round_number: int, guard: Callable[[Session], None]
    ) -> tuple[str, list[tuple[int, Position]]]:
        name = installation_name(self.database)
        with self.database.read() as session:
            project = session.get_one(Project, self.lease.project_id)
            state = queue.current_queue(session, project)
            roles = queue.holdout_roles(session, project)
            stock = queue.stock(session, project)
            rules = read_rule_book(session, project.id)
            undrawn = queue.made_before_the_draw(session, project)
        state = queue.QueueState(
            with_current_roles(
                [p for p in state.positions if p.task_id not in rules.excluded], roles
            ),
            state.next_ordinal,
            state.last_position,
        )
        window = int(project.config.get("window", 100))
        if undrawn:
            # Nothing was random yet: what these positions serve is decided anew.
            drawn = [
                p for p in state.positions if p.task_id in roles and p.family == roles[p.task_id]
            ]
            state = replace(state, positions=drawn)
        positions = self._compose(project, state, stock, window, keep_strategy=False)
        # A pin goes to the top; in everything else the order of the ordinals holds.
        entries = list(enumerate(sorted(positions, key=lambda p: p.task_id not in rules.pinned)))
        with self.database.write() as session:
            guard(session)
            self.lease.check(session)
            project = session.get_one(Project, self.lease.project_id)
            queue.drop_staged(session, project.id)
            # Recorded before anything is sent, so that no version is ever used twice.
            attempt = project.queue_attempt + 1
            version = queue_version(name, round_number, attempt)
            set_values(session, project.id, queue_attempt=attempt)
            queue.stage(session, project, version, round_number, entries)
        return version, entries

    def _compose(
        self,
        project: Project,
        state: queue.QueueState,
        stock: Stock,
        size: int,
        *,
        keep_strategy: bool,
    ) -> list[Position]:
        kept = [
            position
            for position in state.positions
            if keep_strategy or position.family != "strategy"
        ]
        replaced = [
            position.ordinal
            for position in state.positions
            if not keep_strategy and position.family == "strategy"
        ]
        return compose(
            kept=kept,
            replaced=replaced,
            next_ordinal=state.next_ordinal,
            size=size,
            holdout_rate=float(project.config["holdout_rate"]),
            random_share=float(project.config["random_share"]),
            secret=project.secret,
            stock=stock,
            choose=self.choose,
            blocked=self.blocked,
            rolling_share=float(project.config.get("rolling_share", 0.0)),
        )

    def _explain(self, project: Project, entries: Sequence[tuple[int, Position]]) -> None:
        """Write the reasons into the tasks, where the admin asked for it, before they are served.

        Blind tasks all carry the same words: an annotator must not tell them apart.
        """
        field = project.config.get("explain_field")
        if not field or field == project.data_key:
            return
        sentences = {
            position.task_id: NEUTRAL
            if position.blind
            else sentence(
                family=position.family,
                branch=position.branch,
                score=position.score,
                probability=position.probability,
                details=position.details,
                classes=project.classes,
            )
            for _, position in entries
        }
        self.lease.check()
        refused = write_sentences(self.client, project.label_studio_id, field, sentences)
        if refused:
            message = f"{field} was not written into {len(refused)} tasks; {refused[0]}"
            logger.warning("%s", message)
            with self.database.write() as session:
                record_event(session, project.id, "warning", message[:1000])

    def _import(
        self,
        version: str,
        entries: Sequence[tuple[int, Position]],
        again: Sequence[Repeat] = (),
    ) -> None:
        """Send the window; what is asked again stands before it, blind."""
        with self.database.read() as session:
            project = session.get_one(Project, self.lease.project_id)
        self._explain(project, entries)
        shown: dict[int, str] = {}
        if project.config.get("preannotate") == "queue":
            shown = self.predict([p.task_id for _, p in entries if not p.blind])
        rows: list[dict[str, Any]] = [
            {
                "task": one.task_id,
                "result": [],
                "score": place - len(again),
                "model_version": version,
            }
            for place, one in enumerate(again)
        ]
        rows += [
            {
                "task": position.task_id,
                "result": [self.schema.region(shown[position.task_id])]
                if position.task_id in shown and not position.blind
                else [],
                "score": score,
                "model_version": version,
            }
            for score, position in entries
        ]
        for start in range(0, len(rows), IMPORT_CHUNK):
            body = rows[start : start + IMPORT_CHUNK]
            created = self.client.import_predictions(project.label_studio_id, body)
            if created != len(body):
                raise LabelStudioError(
                    f"Label Studio stored {created} of {len(body)} queue entries of {version}."
                )

    def _drop_unknown_task(self, error: LabelStudioRefusedError) -> bool:
        """Forget the task that an import was refused for; False where it names none."""
        found = UNKNOWN_TASK.search(str(error.body)) if error.status == 400 else None
        if found is None:
            return False
        task_id = int(found.group(1))
        with self.database.write() as session:
            self.lease.check(session)
            project = session.get_one(Project, self.lease.project_id)
            delete_tasks(session, project.id, [task_id])
            queue.resolve_answered(session, project)
            record_event(
                session,
                project.id,
                "warning",
                f"Task {task_id} was deleted in Label Studio while it was being queued.",
            )
        return True

    def _project_row(self) -> Project:
        with self.database.read() as session:
            return session.get_one(Project, self.lease.project_id)
