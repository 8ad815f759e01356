"""Embedding the pool in slices: each content once, labelled and queued tasks first."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.errors import AskNextError, LabelStudioUnreachableError
from backend.models.embedding_pipeline import embed_slice
from backend.rounds.context import ProjectContext
from backend.rounds.mirror import annotated_task_ids
from backend.store.database import ROWS_A_STATEMENT, Database
from backend.store.tables import ContentFailure, Pick, Project, Task

logger = logging.getLogger(__name__)

RETRY_SECONDS = 600.0
DOWNLOADS_AT_ONCE = 8
# Downloads run ahead of the encoder by at most this many items, so that memory stays bounded.
DOWNLOADS_AHEAD = 64
TEXTS_AT_ONCE = 5_000


@dataclass(frozen=True)
class Pending:
    """A content that has no embedding yet, with one task that shows it."""

    task_id: int
    content_hash: bytes


def embed(
    context: ProjectContext,
    *,
    seconds: float,
    only_annotated: bool = False,
    report: Callable[..., None],
) -> bool:
    """Embed what is missing for at most `seconds`; True when nothing is left.

    Where the strategy reads properties of the contents they are measured in the same pass.
    `only_annotated` leaves out what a round can do without: it keeps what is annotated and, where
    the strategy reads properties, what is embedded and only to be measured.
    """
    context.cache.refresh()
    if context.properties is not None:
        context.properties.refresh()
    with context.database.read() as session:
        pending = missing(session, context)
    wanted = pending.all()
    if only_annotated:
        wanted = pending.annotated + (_embedded(context, pending) if context.properties else [])
    if not wanted:
        return True
    started = time.monotonic()
    failures: dict[bytes, str] = {}
    total = len(wanted)

    def progress(done: int) -> None:
        report(stage="embed", done=done, total=total)

    items: Iterator[tuple[bytes, str | bytes]] = (
        _read_images(context, wanted, failures, until=started + seconds)
        if context.encoder.kind == "image"
        else _read_texts(context, wanted, until=started + seconds)
    )
    if context.properties is None:
        outcome = embed_slice(context.encoder, context.cache, items, seconds, progress)
    else:
        if context.properties.needs_corpus:
            context.properties.read_corpus(_all_texts(context))
        with closing(context.properties.measured(items)) as measured:
            outcome = embed_slice(context.encoder, context.cache, measured, seconds, progress)
    failures.update(outcome.failed)
    _record_failures(context.database, context.project_id, wanted, failures)
    return outcome.finished and time.monotonic() - started < seconds


@dataclass(frozen=True)
class Missing:
    """Contents without an embedding, most urgent first: annotated, queued, and the others.

    Each part is in the order of its content's hash, so that any beginning of the others is a fair
    sample of the pool.
    """

    annotated: list[Pending]
    queued: list[Pending]
    others: list[Pending]

    def all(self) -> list[Pending]:
        """Every missing content, in the order in which to embed."""
        return [*self.annotated, *self.queued, *self.others]


def missing(session: Session, context: ProjectContext) -> Missing:
    """The contents of the project that have no embedding and are not known to be unreadable."""
    project_id = context.project_id
    rows = session.execute(
        sa.select(Task.task_id, Task.content_hash).where(
            Task.project_id == project_id,
            Task.deleted_at.is_(None),
            Task.content_hash.is_not(None),
        )
    ).all()
    if not rows:
        return Missing([], [], [])
    have = context.cache.contains([row.content_hash for row in rows])
    if context.properties is not None:
        have &= context.properties.contains([row.content_hash for row in rows])
    waiting = set(
        session.scalars(
            sa.select(ContentFailure.content_hash).where(
                ContentFailure.project_id == project_id, ContentFailure.retry_at > time.time()
            )
        )
    )
    annotated = annotated_task_ids(session, project_id)
    queued = set(
        session.scalars(
            sa.select(Pick.task_id).where(
                Pick.project_id == project_id, Pick.state.in_(("queued", "staged"))
            )
        )
    )
    unknown = [
        row
        for row, known in zip(rows, have, strict=True)
        if not known and row.content_hash not in waiting
    ]
    parts: dict[str, dict[bytes, Pending]] = {"annotated": {}, "queued": {}, "others": {}}
    for row in sorted(unknown, key=lambda row: (row.content_hash, row.task_id)):
        part = (
            "annotated"
            if row.task_id in annotated
            else "queued"
            if row.task_id in queued
            else "others"
        )
        parts[part].setdefault(row.content_hash, Pending(row.task_id, row.content_hash))
    annotated_parts, queued_parts, others = parts["annotated"], parts["queued"], parts["others"]
    return Missing(
        list(annotated_parts.values()),
        [p for key, p in queued_parts.items() if key not in annotated_parts],
        [p for key, p in others.items() if key not in annotated_parts and key not in queued_parts],
    )


def _embedded(context: ProjectContext, pending: Missing) -> list[Pending]:
    """What is not annotated and has its embedding, so that it is only to be measured."""
    others = [*pending.queued, *pending.others]
    have = context.cache.contains([item.content_hash for item in others])
    return [item for item, known in zip(others, have, strict=True) if known]


def _all_texts(context: ProjectContext) -> Iterator[str]:
    """Every text of the project, a few at a time."""
    after = 0
    while True:
        with context.database.read() as session:
            rows = session.execute(
                sa.select(Task.task_id, Task.value)
                .where(
                    Task.project_id == context.project_id,
                    Task.deleted_at.is_(None),
                    Task.value.is_not(None),
                    Task.task_id > after,
                )
                .order_by(Task.task_id)
                .limit(TEXTS_AT_ONCE)
            ).all()
        if not rows:
            return
        yield from (row.value for row in rows)
        after = rows[-1].task_id


def _values(context: ProjectContext, wanted: Sequence[Pending]) -> Iterator[tuple[Pending, str]]:
    """The contents' values, read as they are used: a whole pool of texts would fill the memory.

    A task that was changed meanwhile is left out: its new value belongs to another hash.
    """
    for start in range(0, len(wanted), ROWS_A_STATEMENT):
        some = wanted[start : start + ROWS_A_STATEMENT]
        with context.database.read() as session:
            found = {
                (row.task_id, row.content_hash): row.value
                for row in session.execute(
                    sa.select(Task.task_id, Task.content_hash, Task.value).where(
                        Task.project_id == context.project_id,
                        Task.task_id.in_([item.task_id for item in some]),
                    )
                )
            }
        for item in some:
            value = found.get((item.task_id, item.content_hash))
            if value is not None:
                yield item, value


def _read_texts(
    context: ProjectContext, wanted: Sequence[Pending], until: float
) -> Iterator[tuple[bytes, str]]:
    """The texts, until the time is up: what is only measured never reaches the encoder's limit."""
    for item, value in _values(context, wanted):
        yield item.content_hash, value
        if time.monotonic() >= until:
            return


def _read_images(
    context: ProjectContext, wanted: Sequence[Pending], failures: dict[bytes, str], until: float
) -> Iterator[tuple[bytes, str | bytes]]:
    """The images' bytes, downloaded ahead of the encoder; what cannot be read is noted."""
    ahead: list[tuple[Pending, Future[bytes]]] = []
    waiting = _values(context, wanted)
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE, thread_name_prefix="media") as pool:
        while True:
            while len(ahead) < DOWNLOADS_AHEAD and time.monotonic() < until:
                upcoming = next(waiting, None)
                if upcoming is None:
                    break
                item, value = upcoming
                ahead.append((item, pool.submit(context.client.media, value, item.task_id)))
            if not ahead:
                return
            item, download = ahead.pop(0)
            try:
                content = download.result()
            except LabelStudioUnreachableError:
                # Not this image's fault: the slice ends here and is tried again later.
                for _, other in ahead:
                    other.cancel()
                raise
            except AskNextError as error:
                failures[item.content_hash] = str(error)
                continue
            yield item.content_hash, content


def _record_failures(
    database: Database,
    project_id: int,
    wanted: Sequence[Pending],
    failures: dict[bytes, str],
) -> None:
    """Note every task whose content failed, and forget earlier failures that have passed."""
    with database.write() as session:
        if session.get(Project, project_id) is None:
            return
        known = {
            row.task_id: row.attempts
            for row in session.execute(
                sa.select(ContentFailure.task_id, ContentFailure.attempts).where(
                    ContentFailure.project_id == project_id
                )
            )
        }
        if known:
            tried = [item.task_id for item in wanted if item.content_hash not in failures]
            for start in range(0, len(tried), ROWS_A_STATEMENT):
                session.execute(
                    sa.delete(ContentFailure).where(
                        ContentFailure.project_id == project_id,
                        ContentFailure.task_id.in_(tried[start : start + ROWS_A_STATEMENT]),
                        ContentFailure.retry_at <= time.time(),
                    )
                )
        now = time.time()
        database.upsert(
            session,
            ContentFailure,
            [
                {
                    "project_id": project_id,
                    "task_id": item.task_id,
                    "content_hash": item.content_hash,
                    "message": failures[item.content_hash][:500],
                    "attempts": known.get(item.task_id, 0) + 1,
                    "retry_at": now + RETRY_SECONDS * 2 ** min(known.get(item.task_id, 0), 6),
                }
                for item in wanted
                if item.content_hash in failures
            ],
        )
