"""Telling annotators why a task is in the queue: a sentence in a field of the task's own data."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from backend.errors import LabelStudioRefusedError
from backend.labelstudio import LabelStudio
from backend.rounds.reasons import is_reason

logger = logging.getLogger(__name__)

WRITERS = 4
# Read at once, just before they are written.
READ_AT_ONCE = 20


def write_sentences(
    client: LabelStudio, project_id: int, field: str, sentences: dict[int, str]
) -> list[str]:
    """Write each task's sentence into `field` of its data where it differs; what was refused.

    Label Studio replaces the whole data of a task at once: it is read just before, so that an edit
    of another field meanwhile is lost only within that moment. A value that is no such sentence is
    somebody's own and is never replaced.

    The tasks are read as a list, with their addresses as they are: one task alone is answered with
    the addresses of its files resolved, which must not be written back, and after asking the ML
    backend for a prediction, which a blind task must not hold.
    """

    def write(task: dict[str, Any]) -> str | None:
        task_id, data = int(task["id"]), task["data"]
        sentence, present = sentences[task_id], data.get(field)
        if present == sentence:
            return None
        if present not in (None, "") and not is_reason(present):
            return f"task {task_id}: its data has another value there; choose another explain_field"
        try:
            client.update_task(task_id, data={**data, field: sentence})
        except LabelStudioRefusedError as error:
            return f"task {task_id}: {error}"
        return None

    refused: list[str] = []
    numbers = sorted(sentences)
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="explain") as pool:
        for start in range(0, len(numbers), READ_AT_ONCE):
            tasks, _ = client.tasks(
                project_id,
                fields="task_only",
                include="id,data",
                filters=[one_of(numbers[start : start + READ_AT_ONCE])],
                page_size=READ_AT_ONCE,
            )
            outcomes: Iterable[str | None] = pool.map(write, tasks)
            refused += [outcome for outcome in outcomes if outcome is not None]
    return refused


def one_of(task_ids: list[int]) -> dict[str, Any]:
    """The Data Manager filter for these tasks."""
    return {
        "filter": "filter:tasks:id",
        "operator": "in_list",
        "type": "Number",
        "value": task_ids,
    }
