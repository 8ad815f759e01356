"""Who does what for which project: requested and done generations, leases and fencing numbers.

Coalescing lives here and not in job ids: any number of requests made while a piece of work runs
is one more run. A lease says who runs it; its fencing number grows with every holder, and a holder
that lost it may write nothing more.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.errors import LeaseLostError
from backend.store.database import Database
from backend.store.tables import Project, Work

WorkKind = Literal["sync", "round", "embed", "clean"]
KINDS: tuple[WorkKind, ...] = ("sync", "round", "embed", "clean")
# The states of projects that are worked for; the others are left alone.
DRIVEN = ("active", "paused")

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 120.0
# A pushed job that no worker took for this long may have been lost with the queue engine.
LOST_AFTER_SECONDS = 120.0
# Syncs come first, but a stream of them must not starve what waits behind: after so long it is
# pushed once more, among the syncs.
PATIENCE_SECONDS: dict[WorkKind, float] = {"round": 4.0, "embed": 20.0, "clean": 600.0}


@dataclass(frozen=True)
class Lease:
    """The right to do one kind of work for one project, until lost or given back."""

    database: Database
    project_id: int
    kind: WorkKind
    owner: str
    fence: int
    requested: int
    seconds: float
    lost: threading.Event = field(default_factory=threading.Event)

    def check(self, session: Session | None = None) -> None:
        """Make sure that the lease is still held, inside `session`'s transaction where given.

        Raises:
            LeaseLostError: another worker holds it now, or the project is no longer driven.
        """
        if session is None:
            with self.database.read() as own:
                self.check(own)
            return
        row = session.execute(
            sa.select(Work.owner, Work.fence, Project.state)
            .join(Project, Project.id == Work.project_id)
            .where(Work.project_id == self.project_id, Work.kind == self.kind)
        ).one_or_none()
        if row is not None and row.state not in DRIVEN:
            self.lost.set()
            raise LeaseLostError(f"Project {self.project_id} is {row.state} and is left alone.")
        if row is None or row.owner != self.owner or row.fence != self.fence:
            self.lost.set()
            raise LeaseLostError(
                f"Another worker has taken over the {self.kind} of project {self.project_id}."
            )

    def renew(self) -> bool:
        """Extend the lease; False when it was lost."""
        with self.database.write() as session:
            held = session.execute(
                sa.update(Work)
                .where(
                    Work.project_id == self.project_id,
                    Work.kind == self.kind,
                    Work.owner == self.owner,
                    Work.fence == self.fence,
                )
                .values(lease_until=time.time() + self.seconds)
            )
            if cast("sa.CursorResult[Any]", held).rowcount == 0:
                self.lost.set()
        return not self.lost.is_set()

    def report(self, **progress: Any) -> None:
        """Record progress where status and the API read it; cheap enough for a few a second."""
        with self.database.write() as session:
            session.execute(
                sa.update(Work)
                .where(
                    Work.project_id == self.project_id,
                    Work.kind == self.kind,
                    Work.owner == self.owner,
                )
                .values(progress=progress, updated_at=time.time())
            )


def request(database: Database, project_id: int, kind: WorkKind) -> None:
    """Ask for one more run of this work; nothing is pushed to a queue here."""
    with database.write() as session:
        request_in(session, project_id, kind)


def request_in(session: Session, project_id: int, kind: WorkKind) -> None:
    """Ask for one more run of this work within a transaction of the caller's."""
    row = session.get(Work, (project_id, kind))
    if row is None:
        session.add(Work(project_id=project_id, kind=kind, requested=1))
    else:
        row.requested += 1


def due(database: Database, now: float | None = None) -> list[tuple[int, WorkKind]]:
    """The work that should be pushed to the queue engine now.

    Asked for and not running (or running under an expired lease), not pushed already (or pushed so
    long ago that the queue engine must have lost it), and past its retry time.
    """
    now = time.time() if now is None else now
    with database.read() as session:
        rows = session.execute(
            sa.select(Work.project_id, Work.kind)
            .join(Project, Project.id == Work.project_id)
            .where(
                Project.state.in_(DRIVEN),
                Work.requested > Work.done,
                sa.or_(Work.owner.is_(None), Work.lease_until < now),
                sa.or_(
                    Work.enqueued_at.is_(None),
                    Work.enqueued_at < now - LOST_AFTER_SECONDS,
                    Work.owner.is_not(None),
                ),
                Work.not_before <= now,
            )
        ).all()
    return [(row.project_id, cast("WorkKind", row.kind)) for row in rows]


def impatient(database: Database, now: float | None = None) -> list[tuple[int, WorkKind]]:
    """The pushed work that has waited longer than its patience and was not promoted yet."""
    now = time.time() if now is None else now
    waited = [
        sa.and_(Work.kind == kind, Work.enqueued_at < now - seconds)
        for kind, seconds in PATIENCE_SECONDS.items()
    ]
    with database.read() as session:
        rows = session.execute(
            sa.select(Work.project_id, Work.kind)
            .join(Project, Project.id == Work.project_id)
            .where(
                Project.state.in_(DRIVEN),
                Work.requested > Work.done,
                Work.owner.is_(None),
                Work.promoted.is_(False),
                sa.or_(*waited),
            )
        ).all()
    return [(row.project_id, cast("WorkKind", row.kind)) for row in rows]


def mark_promoted(database: Database, project_id: int, kind: WorkKind) -> None:
    """Record that this work waits among the syncs now."""
    with database.write() as session:
        session.execute(
            sa.update(Work)
            .where(Work.project_id == project_id, Work.kind == kind)
            .values(promoted=True)
        )


def is_waiting(session: Session, project_id: int, kind: WorkKind) -> bool:
    """Whether a run is asked for that no worker has begun."""
    row = session.get(Work, (project_id, kind))
    return row is not None and row.requested > row.done and row.owner is None


def mark_pushed(database: Database, project_id: int, kind: WorkKind) -> None:
    """Record that a job for this work waits in the queue engine; an expired owner is forgotten."""
    now = time.time()
    with database.write() as session:
        row = session.get(Work, (project_id, kind))
        if row is None:
            return
        taken = row.owner is not None and row.lease_until is not None and row.lease_until >= now
        if taken or row.requested <= row.done:
            return  # a worker was faster than this record: nothing waits any more
        row.enqueued_at = now
        row.promoted = False
        if row.lease_until is not None and row.lease_until < now:
            row.owner = None
            row.lease_until = None


def acquire(
    database: Database, project_id: int, kind: WorkKind, seconds: float, *, even_if_done: bool
) -> Lease | None:
    """Take the lease, or None where somebody else holds it or there is nothing to do.

    Nothing is to be done for a project that was disconnected or archived since it was asked for.
    `even_if_done` takes it although nothing is requested (a stage of other work needs it).
    """
    now = time.time()
    with database.write() as session:
        project = session.get(Project, project_id)
        if project is None or project.state not in DRIVEN:
            return None
        row = session.get(Work, (project_id, kind))
        if row is None:
            if not even_if_done:
                return None
            row = Work(project_id=project_id, kind=kind, requested=0, done=0, fence=0)
            session.add(row)
        if row.owner is not None and row.lease_until is not None and row.lease_until >= now:
            return None
        if row.requested <= row.done and not even_if_done:
            row.enqueued_at = None
            return None
        row.owner = secrets.token_hex(8)
        row.fence = (row.fence or 0) + 1
        row.lease_until = now + seconds
        row.enqueued_at = None
        return Lease(database, project_id, kind, row.owner, row.fence, row.requested, seconds)


def release(lease: Lease, *, failed: bool = False, fulfils: bool = True, wait: float = 0.0) -> None:
    """Give the lease back; what was requested meanwhile is due at once.

    A failed run leaves its request standing and waits before the next try, longer each time.
    `fulfils` False leaves the request standing (a slice of longer work), for `wait` seconds.
    """
    with lease.database.write() as session:
        row = session.get(Work, (lease.project_id, lease.kind))
        if row is None or row.owner != lease.owner or row.fence != lease.fence:
            return
        row.owner = None
        row.lease_until = None
        if failed:
            row.attempts += 1
            wait = min(FIRST_RETRY_SECONDS * 2 ** (row.attempts - 1), LONGEST_RETRY_SECONDS)
            row.not_before = time.time() + wait
            return
        row.attempts = 0
        row.not_before = time.time() + wait if wait else 0.0
        if fulfils:
            row.done = max(row.done, lease.requested)
            row.progress = {}


@contextmanager
def heartbeat(lease: Lease) -> Iterator[Lease]:
    """Keep `lease` alive from a thread while the block runs."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(lease.seconds / 4):
            try:
                if not lease.renew():
                    return
            except sa.exc.OperationalError:
                continue  # a busy database: the next beat comes before the lease ends

    thread = threading.Thread(target=beat, name=f"heartbeat-{lease.kind}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()


@contextmanager
def borrow(
    database: Database,
    project_id: int,
    kind: WorkKind,
    seconds: float,
    *,
    patience: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Lease]:
    """Hold another kind's lease for a stage, waiting up to `patience` seconds for its holder.

    Raises:
        LeaseLostError: the holder did not finish in time; the caller's own run is tried again.
    """
    until = time.monotonic() + patience
    while (lease := acquire(database, project_id, kind, seconds, even_if_done=True)) is None:
        if time.monotonic() >= until or not _is_driven(database, project_id):
            raise LeaseLostError(f"The {kind} of project {project_id} is busy; trying again later.")
        sleep(0.2)
    try:
        with heartbeat(lease):
            yield lease
    finally:
        release(lease, fulfils=False)


def _is_driven(database: Database, project_id: int) -> bool:
    with database.read() as session:
        state = session.scalar(sa.select(Project.state).where(Project.id == project_id))
    return state in DRIVEN
