"""Telling annotators why a task is in the queue: a sentence in a field of the task's own data."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from backend.errors import LabelStudioRefusedError
from backend.labelstudio import LabelStudio

logger = logging.getLogger(__name__)

WRITERS = 4


def write_sentences(client: LabelStudio, field: str, sentences: dict[int, str]) -> list[str]:
    """Write each task's sentence into `field` of its data where it differs; what was refused.

    Label Studio replaces the whole data of a task at once: it is read just before, so that an edit
    of another field meanwhile is lost only within that moment.
    """

    def write(item: tuple[int, str]) -> str | None:
        task_id, sentence = item
        try:
            data = client.task(task_id)["data"]
            if data.get(field) != sentence:
                client.update_task(task_id, data={**data, field: sentence})
        except LabelStudioRefusedError as error:
            return f"task {task_id}: {error}"
        return None

    with ThreadPoolExecutor(WRITERS, thread_name_prefix="explain") as pool:
        outcomes: Iterable[str | None] = pool.map(write, sentences.items())
        return [outcome for outcome in outcomes if outcome is not None]
