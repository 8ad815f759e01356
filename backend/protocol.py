"""Label Studio's ML protocol on the wire, as dataclasses; wrong input is refused by field."""

import json
import re
from dataclasses import dataclass
from typing import Any

from backend.errors import RequestError

# Label Studio's ids are 32-bit; anything longer names no project.
_PROJECT = re.compile(r"([0-9]{1,10})(\..*)?", re.ASCII)


@dataclass(frozen=True)
class SetupRequest:
    """`/setup`: which project, its labelling config, and the admin's extra params."""

    label_studio_id: int
    label_config: str
    extra_params: Any


@dataclass(frozen=True)
class PredictRequest:
    """`/predict`: tasks as (id, data); `project` is None where the caller names none."""

    tasks: list[tuple[int | None, dict[str, Any]]]
    label_studio_id: int | None
    label_config: str | None


@dataclass(frozen=True)
class WebhookRequest:
    """`/webhook`: what happened, and in which project where the event says so."""

    action: str
    label_studio_id: int | None


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object that a body holds."""
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise RequestError(
            "body", f"It is not valid JSON ({error}).", "Send a JSON object.", 400
        ) from None
    if not isinstance(document, dict):
        raise RequestError("body", "It is not a JSON object.", "Send a JSON object.", 400)
    return document


def setup_request(document: dict[str, Any]) -> SetupRequest:
    """Read `/setup`'s body."""
    schema = document.get("schema", document.get("label_config"))
    if not isinstance(schema, str):
        raise RequestError(
            "schema", "The labelling config is missing.", "Send it as the text of its XML."
        )
    return SetupRequest(_project_id(document), schema, document.get("extra_params"))


def predict_request(document: dict[str, Any]) -> PredictRequest:
    """Read `/predict`'s body; tasks need `data`, and `id` where they are Label Studio's."""
    tasks = document.get("tasks")
    if not isinstance(tasks, list):
        raise RequestError("tasks", "It must be a list of tasks.", 'Send {"tasks": [{"data": …}]}.')
    read: list[tuple[int | None, dict[str, Any]]] = []
    for index, task in enumerate(tasks):
        data = task.get("data") if isinstance(task, dict) else None
        if not isinstance(data, dict):
            raise RequestError(
                f"tasks[{index}].data",
                "It must be an object.",
                "Send each task as Label Studio exports it.",
            )
        number = task.get("id")
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            raise RequestError(
                f"tasks[{index}].id", f"{number!r} is no task id.", "Send a whole number."
            )
        read.append((number, data))
    config = document.get("label_config")
    if config is not None and not isinstance(config, str):
        raise RequestError("label_config", "It must be text.", "Send the XML of the config.")
    project = _project_id(document) if document.get("project") is not None else None
    return PredictRequest(read, project, config)


def webhook_request(document: dict[str, Any]) -> WebhookRequest:
    """Read `/webhook`'s body; nothing that it says about labels is believed."""
    action = document.get("action")
    if not isinstance(action, str):
        raise RequestError("action", "It is missing.", 'Send {"action": "ANNOTATION_CREATED", …}.')
    project = document.get("project")
    return WebhookRequest(
        action, project_number(project.get("id") if isinstance(project, dict) else project)
    )


def project_number(project: object) -> int | None:
    """The id in Label Studio's name for a project, `id.created_at` or the id alone."""
    if not isinstance(project, str | int) or isinstance(project, bool):
        return None
    found = _PROJECT.fullmatch(str(project)[:100])
    return int(found.group(1)) if found else None


def _project_id(document: dict[str, Any]) -> int:
    project = document.get("project")
    number = project_number(project)
    if number is None:
        raise RequestError(
            "project",
            f"{str(project)[:100]!r} names no project.",
            'Send Label Studio\'s form "<id>.<timestamp>".',
        )
    return number
