"""One round: sync → embed → train → evaluate → rank → publish, resumable at any point.

What a stage made is kept before the next one begins (labels and picks in the state, embeddings and
the model on disk), so that a round that was killed goes on where it was, under its old number.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.errors import LeaseLostError
from backend.models.artefact import Model
from backend.rounds import train
from backend.rounds.context import ProjectContext
from backend.rounds.control import score_control
from backend.rounds.draw_fit import compare_once_embedded
from backend.rounds.embed import embed
from backend.rounds.embedded import pool_embeddings
from backend.rounds.evaluate import calibrate_and_measure
from backend.rounds.late_tasks import drift_report, supplemented
from backend.rounds.lift import look_if_due
from backend.rounds.memory import peak_megabytes, reset_peak
from backend.rounds.publish import Publisher
from backend.rounds.rank import Ranker
from backend.rounds.reference import reference_report
from backend.rounds.second_opinions import second_opinion_figures
from backend.rounds.stopping import stopping_figures
from backend.rounds.sync import Sync
from backend.store import work
from backend.store.projects import installation_name, model_version, record_event, set_values
from backend.store.tables import Label, Project, Round
from backend.store.work import Lease

logger = logging.getLogger(__name__)

STAGES = ("sync", "embed", "train", "evaluate", "rank", "publish")
# Annotated tasks that the embedding worker has not reached are embedded inside the round, for at
# most about this long: a label without an embedding waits for the next round, not the queue.
EMBED_SECONDS = 8.0
# How long a round waits for a sync or top-up that runs beside it.
SYNC_PATIENCE_SECONDS = 300.0


class RoundRun:
    """Runs one round of one project; the caller holds the project's `round` lease."""

    def __init__(self, context: ProjectContext, lease: Lease) -> None:
        self._context = context
        self._lease = lease
        self._number = 0
        self._seconds: dict[str, float] = {}
        self._peaks: dict[str, int] = {}

    def run(self) -> bool:
        """Run the round to its end; False where the hold-outs are not drawn yet.

        Raises:
            LeaseLostError: another worker runs this round now.
            AskNextError: a stage failed; the round goes on from there when it is run again.
        """
        self._number = self._begin()
        with self._stage("sync"), self._sync_lease() as sync_lease:
            self._sync(sync_lease)
        if self._context.project().holdout_drawn_at is None:
            return False
        while (published := self._learn_and_publish()) is None:
            self._say_that_it_begins_again()
        self._finish(*published)
        return True

    def _learn_and_publish(self) -> tuple[str, str | None] | None:
        """From the snapshot to the queue's version and note; None where the hold-outs were drawn
        anew meanwhile: what was trained then may know their members.
        """
        era = self._take_snapshot()
        with self._stage("embed"):
            embed(self._context, seconds=EMBED_SECONDS, only_annotated=True, report=self._report)
        model = self._train_and_evaluate(era)
        if model is None:
            return None
        ranker = Ranker(self._context, model, self._number)
        with self._stage("publish", but=lambda: ranker.seconds), self._sync_lease() as sync_lease:
            # Nobody draws while this lease is held.
            if self._context.project().era != era:
                return None
            version = self._publish(ranker, sync_lease)
        self._seconds["rank"] = self._seconds.get("rank", 0.0) + round(ranker.seconds, 3)
        return version, ranker.note

    # ---------------------------------------------------------------- stages

    def _sync(self, sync_lease: Lease) -> None:
        Sync(
            self._context.database,
            self._context.client,
            sync_lease,
            stable_total_seconds=self._context.settings.stable_total_seconds,
            embeddings=partial(pool_embeddings, self._context),
            report=self._report,
        ).run()

    def _train_and_evaluate(self, era: int) -> Model | None:
        """The round's model, measured and stored; None where its era of hold-outs is over."""
        model = train.stored_model(self._context, self._number)
        if model is not None and self._row().metrics:
            return model
        with self._stage("train"):
            self._report(stage="train")
            # Before anything trains on them: what the model in force says of the control's labels.
            score_control(self._context, self._context.live_model())
            model, trained_on = train.train(self._context, self._number, self._lease)
        if self._context.project().era != era:
            return None
        with self._stage("evaluate"):
            self._report(stage="evaluate")
            model, metrics = calibrate_and_measure(self._context, model, self._number)
            self._lease.check()
            if self._context.project().era != era:
                return None
            compared = look_if_due(self._context, model)
            if compared is not None:
                metrics["comparison"] = compared
            # A look that had too little to look at is still to come, and so is its error.
            looked = compared is not None and compared["lift"]["value"] is not None
            alpha = float(compared["alpha"]) if compared is not None and looked else None
            compare_once_embedded(self._context)
            metrics["drift"] = drift_report(self._context)
            metrics["supplemented"] = supplemented(self._context, model)
            metrics["reference"] = reference_report(self._context, model, self._number)
            metrics["people"] = second_opinion_figures(self._context)
            metrics["stopping"] = stopping_figures(self._context, model, trained_on, alpha)
            train.store_model(self._context, model, self._number)
            return model if self._record(era, metrics, trained_on) else None

    def _publish(self, ranker: Ranker, sync_lease: Lease) -> str:
        self._report(stage="publish")
        publisher = Publisher(
            self._context.database,
            self._context.client,
            sync_lease,
            ranker.choose,
            ranker.labels_of,
            self._context.schema,
            ranker.blocked,
        )
        return publisher.publish(self._number, self._lease.check)

    # ---------------------------------------------------------------- the record

    def _begin(self) -> int:
        """The number of the unfinished round, or of a new one."""
        with self._context.database.write() as session:
            self._lease.check(session)
            project = session.get_one(Project, self._context.project_id)
            row = session.scalars(
                sa.select(Round)
                .where(Round.project_id == project.id, Round.state == "running")
                .order_by(Round.number.desc())
            ).first()
            if row is None:
                row = Round(
                    project_id=project.id,
                    number=project.round_number + 1,
                    state="running",
                    strategy=str(project.config.get("strategy")),
                    started_at=time.time(),
                )
                session.add(row)
            self._seconds = dict(row.seconds or {})
            self._peaks = dict(row.peak_megabytes or {})
            return row.number

    def _take_snapshot(self) -> int:
        """What the round counts as seen, labels that come later are for the next round; its era."""
        stored = train.stored_model(self._context, self._number)
        with self._context.database.write() as session:
            self._lease.check(session)
            project = session.get_one(Project, self._context.project_id)
            row = session.get_one(Round, (project.id, self._number))
            if row.metrics and stored is not None and stored.metadata["era"] == project.era:
                # A resumed round whose model was trained before: later labels are not in it.
                return project.era
            row.metrics = {}
            # From here on the hold-outs are those that it is kept from and measured on.
            row.started_at = time.time()
            row.label_changes = project.label_changes
            row.labelled = count_labelled(session, project.id)
            return project.era

    def _record(self, era: int, metrics: dict[str, Any], trained_on: int) -> bool:
        """Keep what was measured, unless other hold-outs were drawn since the snapshot."""
        with self._context.database.write() as session:
            self._lease.check(session)
            project = session.get_one(Project, self._context.project_id)
            if project.era != era:
                return False
            row = session.get_one(Round, (project.id, self._number))
            row.metrics, row.trained_on = metrics, trained_on
            return True

    def _say_that_it_begins_again(self) -> None:
        with self._context.database.write() as session:
            self._lease.check(session)
            record_event(
                session,
                self._context.project_id,
                "info",
                f"The hold-outs were drawn anew while round {self._number} ran: it trains again "
                "without their new members.",
            )

    def _finish(self, version: str, note: str | None) -> None:
        now = time.time()
        name = installation_name(self._context.database)
        with self._context.database.write() as session:
            self._lease.check(session)
            row = session.get_one(Round, (self._context.project_id, self._number))
            row.state = "done"
            row.finished_at = now
            row.queue_version = version
            row.model_version = model_version(name, self._number)
            row.seconds = dict(self._seconds)
            row.note = note
            row.error = None
            set_values(
                session,
                self._context.project_id,
                round_number=self._number,
                model_round=self._number,
                round_label_changes=row.label_changes,
                last_error=None,
                last_error_at=None,
            )
            # Labels may have arrived meanwhile: the next sync decides whether a round is due.
            work.request_in(session, self._context.project_id, "sync")

    @contextmanager
    def _stage(self, name: str, but: Callable[[], float] | None = None) -> Iterator[None]:
        """Record the stage and its seconds; `but` are seconds that count elsewhere."""
        self._update(stage=name)
        started = time.monotonic()
        reset_peak()
        yield
        self._peaks[name] = max(peak_megabytes(), self._peaks.get(name, 0))
        spent = time.monotonic() - started - (but() if but else 0.0)
        self._seconds[name] = round(self._seconds.get(name, 0.0) + spent, 3)
        self._update(seconds=dict(self._seconds), peak_megabytes=dict(self._peaks))

    @contextmanager
    def _sync_lease(self) -> Iterator[Lease]:
        """The mirror and the window have one writer at a time, the holder of the sync lease."""
        with work.borrow(
            self._context.database,
            self._context.project_id,
            "sync",
            self._context.settings.lease_seconds,
            patience=SYNC_PATIENCE_SECONDS,
        ) as lease:
            yield lease

    def _update(self, **values: Any) -> None:
        with self._context.database.write() as session:
            self._lease.check(session)
            session.execute(
                sa.update(Round)
                .where(Round.project_id == self._context.project_id, Round.number == self._number)
                .values(**values)
            )

    def _row(self) -> Round:
        with self._context.database.read() as session:
            return session.get_one(Round, (self._context.project_id, self._number))

    def _report(self, **progress: Any) -> None:
        if self._lease.lost.is_set():
            raise LeaseLostError("Another worker has taken this round over.")
        self._lease.report(**{"round": self._number, **progress})


def count_labelled(session: Session, project_id: int) -> int:
    """Distinct tasks with a settled label, hold-outs included."""
    return int(
        session.scalar(
            sa.select(sa.func.count())
            .select_from(Label)
            .where(Label.project_id == project_id, Label.status == "settled")
        )
        or 0
    )
