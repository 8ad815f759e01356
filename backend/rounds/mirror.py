"""Writing what was read from Label Studio into the state: tasks, annotations, deletions."""

import hashlib
import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.label_schema import read_choices
from backend.rounds.numbering import numbering
from backend.store.database import ROWS_A_STATEMENT, Database
from backend.store.tables import Annotation, Project, Task

# Longer texts are contents of their own, not the name of a scanner or a patient.
LONGEST_FIELD = 200


@dataclass(frozen=True)
class TaskValue:
    """The part of a task that is embedded: its text, or where its image lies."""

    value: str | None
    content_hash: bytes | None


def task_value(data: dict[str, Any], data_key: str | None) -> TaskValue:
    """The value under `data_key`, and the 16-byte hash that its embedding is kept under."""
    raw = data.get(data_key) if data_key else None
    if raw is None or raw == "":
        return TaskValue(None, None)
    text = raw if isinstance(raw, str) else json.dumps(raw, sort_keys=True, ensure_ascii=False)
    # Half of a surrogate pair is no text: neither SQL nor a tokenizer takes it.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return TaskValue(text, content_hash(text))


def task_fields(
    data: dict[str, Any], data_key: str | None, explain_field: str | None = None
) -> dict[str, Any]:
    """The scalar values beside the content that are short enough to be metadata or a group.

    What AskNext itself writes into the tasks is not among them.
    """
    return {
        name: value
        for name, value in data.items()
        if name not in (data_key, explain_field)
        and isinstance(value, str | int | float | bool)
        and not (isinstance(value, str) and len(value) > LONGEST_FIELD)
    }


def content_hash(value: str) -> bytes:
    """The 16-byte hash of a raw field value."""
    return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def write_tasks(
    database: Database, session: Session, project: Project, tasks: Sequence[dict[str, Any]]
) -> None:
    """Store new tasks and the changed content of known ones; a task seen again is not deleted."""
    rows = []
    how = numbering(session, project)
    for task in tasks:
        value = task_value(task.get("data") or {}, project.data_key)
        fields = task_fields(
            task.get("data") or {}, project.data_key, project.config.get("explain_field")
        )
        rows.append(
            {
                "project_id": project.id,
                "task_id": int(task["id"]),
                "content_hash": value.content_hash,
                "value": value.value,
                "fields": fields,
                "u": how.number(int(task["id"]), fields),
                "deleted_at": None,
            }
        )
    database.upsert(session, Task, rows)


def write_annotations(
    database: Database, session: Session, project_id: int, tasks: Sequence[dict[str, Any]]
) -> set[int]:
    """Store the annotations of `tasks` (each with all of its own); ids of tasks that changed.

    An annotation that a task no longer holds was deleted. Annotations are compared by their id and
    `updated_at`, since Label Studio touches tasks for many other reasons.
    """
    changed: set[int] = set()
    known = {
        (row.task_id, row.annotation_id): row.updated_at
        for row in _known_annotations(session, project_id, [int(task["id"]) for task in tasks])
    }
    rows = []
    for task in tasks:
        task_id = int(task["id"])
        for annotation in task.get("annotations") or []:
            key = (task_id, int(annotation["id"]))
            if known.pop(key, None) == annotation["updated_at"]:
                continue
            changed.add(task_id)
            rows.append(_annotation_row(project_id, task_id, annotation))
    database.upsert(session, Annotation, rows)
    for task_id, annotation_id in known:
        changed.add(task_id)
        session.execute(
            sa.update(Annotation)
            .where(Annotation.project_id == project_id, Annotation.annotation_id == annotation_id)
            .values(deleted_at=time.time())
        )
    return changed


def write_tasks_without_annotations(
    session: Session, project_id: int, task_ids: Collection[int]
) -> set[int]:
    """Delete the known annotations of tasks that hold none now; ids of tasks that changed."""
    known = list(_known_annotations(session, project_id, list(task_ids)))
    for row in known:
        session.execute(
            sa.update(Annotation)
            .where(
                Annotation.project_id == project_id,
                Annotation.annotation_id == row.annotation_id,
            )
            .values(deleted_at=time.time())
        )
    return {row.task_id for row in known}


def delete_tasks(session: Session, project_id: int, task_ids: Collection[int]) -> None:
    """Mark tasks that Label Studio no longer has, and their annotations."""
    now = time.time()
    for chunk in _chunks(sorted(task_ids)):
        for table in (Task, Annotation):
            session.execute(
                sa.update(table)
                .where(
                    table.project_id == project_id,
                    table.task_id.in_(chunk),
                    table.deleted_at.is_(None),
                )
                .values(deleted_at=now)
            )


def count_live_tasks(session: Session, project_id: int) -> int:
    """How many tasks exist as far as is known."""
    return int(
        session.scalar(
            sa.select(sa.func.count())
            .select_from(Task)
            .where(Task.project_id == project_id, Task.deleted_at.is_(None))
        )
        or 0
    )


def count_useful_annotations(session: Session, project_id: int) -> int:
    """How many annotations exist as far as is known, skips and ground truth apart."""
    return int(
        session.scalar(
            sa.select(sa.func.count())
            .select_from(Annotation)
            .where(
                Annotation.project_id == project_id,
                Annotation.deleted_at.is_(None),
                Annotation.cancelled.is_(False),
                Annotation.ground_truth.is_(False),
            )
        )
        or 0
    )


def annotated_task_ids(session: Session, project_id: int) -> set[int]:
    """Ids of the tasks that hold any annotation, a skip included."""
    return set(
        session.scalars(
            sa.select(Annotation.task_id)
            .where(Annotation.project_id == project_id, Annotation.deleted_at.is_(None))
            .distinct()
        )
    )


def live_task_ids(session: Session, project_id: int) -> set[int]:
    """Ids of the tasks that exist as far as is known."""
    return set(
        session.scalars(
            sa.select(Task.task_id).where(Task.project_id == project_id, Task.deleted_at.is_(None))
        )
    )


def read_task_ids(session: Session, project_id: int) -> set[int]:
    """Ids of the tasks whose content was read for the present labelling config."""
    return set(
        session.scalars(
            sa.select(Task.task_id).where(
                Task.project_id == project_id, Task.deleted_at.is_(None), Task.value.is_not(None)
            )
        )
    )


def rehash_tasks(session: Session, project_id: int) -> None:
    """Forget every task's content: the labelling config asks about another field now."""
    session.execute(
        sa.update(Task).where(Task.project_id == project_id).values(content_hash=None, value=None)
    )


def _annotation_row(project_id: int, task_id: int, annotation: dict[str, Any]) -> dict[str, Any]:
    author = annotation.get("completed_by")
    if isinstance(author, dict):
        author = author.get("id")
    return {
        "project_id": project_id,
        "annotation_id": int(annotation["id"]),
        "task_id": task_id,
        "completed_by": author,
        "choices": read_choices(annotation.get("result") or []),
        "cancelled": bool(annotation.get("was_cancelled")),
        "ground_truth": bool(annotation.get("ground_truth")),
        "lead_time": annotation.get("lead_time"),
        "created_at": str(annotation["created_at"]),
        "updated_at": str(annotation["updated_at"]),
        "deleted_at": None,
    }


def _known_annotations(session: Session, project_id: int, task_ids: Sequence[int]) -> Iterable[Any]:
    for chunk in _chunks(task_ids):
        yield from session.execute(
            sa.select(Annotation.task_id, Annotation.annotation_id, Annotation.updated_at).where(
                Annotation.project_id == project_id,
                Annotation.task_id.in_(chunk),
                Annotation.deleted_at.is_(None),
            )
        )


def _chunks(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    for start in range(0, len(ids), ROWS_A_STATEMENT):
        yield ids[start : start + ROWS_A_STATEMENT]
