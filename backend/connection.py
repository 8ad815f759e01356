"""Connecting a Label Studio project, and undoing it: what is changed there, and what is kept."""

import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa

from backend.backend_auth import authorization_header, basic_auth
from backend.config import parse_config
from backend.config_history import forget_written_back, note_written_back, put_in_force
from backend.errors import AskNextError, LabelStudioError, LabelStudioRefusedError
from backend.label_schema import parse_label_config
from backend.labelstudio import LabelStudio
from backend.rounds.schema import apply_label_config
from backend.rounds.sync import SAMPLING
from backend.settings import Settings
from backend.store import work
from backend.store.database import Database
from backend.store.projects import installation_name, set_values
from backend.store.tables import ConfigChange, Project
from backend.stream import instruction_before
from backend.tokens import save_token

logger = logging.getLogger(__name__)

BACKEND_TITLE = "AskNext"
VIEW_TITLE = "AskNext queue"
RESTORED = ("sampling", "model_version", "show_collab_predictions")

Step = Callable[[str], None]


@dataclass(frozen=True)
class ConnectReport:
    """What `connect` did; `warnings` are things that an admin should know."""

    project_id: int
    label_studio_id: int
    title: str
    kind: str
    classes: list[str]
    polls: bool
    warnings: list[str] = field(default_factory=list)


def connect(
    settings: Settings,
    database: Database,
    *,
    url: str,
    token: str,
    label_studio_id: int,
    config: Any = None,
    take_over: bool = False,
    step: Step = lambda _: None,
) -> ConnectReport:
    """Connect a project: token, sampling, ML backend, webhook, tab, first sync. Safe to repeat.

    Args:
        config: a configuration document; None keeps the one in force (the defaults at first).
        take_over: connect although another installation drives the project.

    Raises:
        AskNextError: something is in the way; nothing that was done before it needs undoing.
    """
    url = url.rstrip("/")
    warnings: list[str] = []
    with LabelStudio(url, token, patience=10.0) as client:
        step("Checking the token")
        client.whoami()
        step("Reading the project")
        remote = client.project(label_studio_id)
        name = installation_name(database)
        _refuse_foreign(remote, name, take_over)
        project = _record(database, url, label_studio_id, remote, config)
        save_token(settings, url, token)
        step("Setting the sampling")
        wanted: dict[str, Any] = {
            "sampling": SAMPLING,
            "show_collab_predictions": project.config["preannotate"] == "queue",
        }
        changed = {key: value for key, value in wanted.items() if remote.get(key) != value}
        if changed:
            client.update_project(label_studio_id, **changed)
        step("Adding the ML backend")
        backend_id = _ensure_backend(settings, database, client, project, warnings)
        step("Guarding the webhook")
        webhook_id = _ensure_webhook(settings, client, label_studio_id)
        if webhook_id is None:
            warnings.append(
                "Label Studio allows no webhook to this address: AskNext polls every "
                f"{settings.sync_every_seconds:.0f} s instead. Set SSRF_PROTECTION_ENABLED=false "
                "in Label Studio's environment and connect again to change that."
            )
        step("Opening the tab")
        view_id = _ensure_view(client, label_studio_id)
    with database.write() as session:
        set_values(
            session,
            project.id,
            state="paused" if project.state == "paused" else "active",
            backend_id=backend_id,
            webhook_id=webhook_id,
            view_id=view_id,
            polls=webhook_id is None,
            last_error=None,
            last_error_at=None,
        )
        work.request_in(session, project.id, "sync")
    return ConnectReport(
        project.id,
        label_studio_id,
        project.title,
        str(project.kind),
        list(project.classes),
        webhook_id is None,
        warnings,
    )


def disconnect(
    settings: Settings, database: Database, client: LabelStudio, project: Project
) -> list[str]:
    """Undo what `connect` changed in Label Studio; labels and our records stay.

    Returns what could not be undone.
    """
    problems: list[str] = []

    def attempt(what: str, action: Callable[[], Any]) -> bool:
        try:
            action()
        except LabelStudioRefusedError as error:
            if error.status != 404:
                problems.append(f"{what}: {error}")
                return False
        return True

    number = project.label_studio_id
    with database.write() as session:
        set_values(session, project.id, state="disconnected")
    for backend in client.backends(number):
        if backend["id"] == project.backend_id or _same_url(backend["url"], settings.url):
            attempt("ML backend", partial(client.delete_backend, int(backend["id"])))
    for webhook in client.webhooks(number):
        if _same_url(webhook["url"], f"{settings.url}/webhook"):
            attempt("webhook", partial(client.delete_webhook, int(webhook["id"])))
    for view in client.views(number):
        if view["id"] == project.view_id:
            attempt("tab", partial(client.delete_view, int(view["id"])))
    values = {key: value for key, value in project.restore.items() if key in RESTORED}
    as_before = {"overlap": project.overlap, "is_labeled": True}
    raised = [
        task
        for task in project.restore.get("raised") or []
        if not attempt(f"task {task}", partial(client.update_task, task, **as_before))
    ]
    version = values.pop("model_version", None)
    # One by one: what Label Studio refuses must keep nothing else from being restored.
    serves = project.paused_overlap is None or attempt(
        "label stream",
        lambda: client.update_project(number, maximum_annotations=project.paused_overlap),
    )
    told = instruction_before(project)
    told_back = not told or attempt("instruction", lambda: client.update_project(number, **told))
    restored = attempt("settings", lambda: client.update_project(number, **values))
    attempt("model version", lambda: client.update_project(number, model_version=version or ""))
    # What could not be restored is restored by the next `disconnect`.
    kept: dict[str, Any] = {} if restored else dict(values)
    if raised:
        kept["raised"] = raised
    if not told_back:
        kept["instruction"] = told
    with database.write() as session:
        set_values(
            session,
            project.id,
            queue_version=None,
            backend_id=None,
            webhook_id=None,
            view_id=None,
            paused_overlap=None if serves else project.paused_overlap,
            pause_reason=None,
            restore=kept,
        )
    return problems


def write_back(
    settings: Settings, database: Database, client: LabelStudio, project: Project
) -> None:
    """Show the configuration in force in Label Studio's own model settings (extra params)."""
    backend = next(
        (b for b in client.backends(project.label_studio_id) if b["id"] == project.backend_id), None
    )
    if backend is None:
        return
    document = explicit_config(project.config)
    with database.write() as session:
        note = note_written_back(session, project.id, document)
    try:
        client.update_backend(
            backend["id"],
            url=backend["url"],
            project=project.label_studio_id,
            extra_params=document,
            **basic_auth(settings.credentials()),
        )
    except LabelStudioError:
        # What Label Studio goes on saying is then no change of somebody's.
        with database.write() as session:
            forget_written_back(session, note)
        raise


def explicit_config(config: dict[str, Any]) -> dict[str, Any]:
    """The settings that differ from the defaults."""
    defaults = parse_config(None).model_dump(mode="json")
    return {key: value for key, value in config.items() if defaults.get(key) != value}


def _refuse_foreign(remote: dict[str, Any], name: str, take_over: bool) -> None:
    version = str(remote.get("model_version") or "")
    if version.startswith("asknext-") and not version.startswith(f"asknext-{name}-"):
        if take_over:
            return
        raise AskNextError(
            f"Another AskNext installation drives this project (its version is {version}). "
            "Disconnect it there, or connect with --take-over."
        )


def _record(
    database: Database, url: str, label_studio_id: int, remote: dict[str, Any], document: Any
) -> Project:
    """Make or update the project's row; the values to restore are recorded once."""
    with database.write() as session:
        other = session.scalars(
            sa.select(Project).where(
                Project.label_studio_url != url,
                Project.state.in_(("active", "paused")),
            )
        ).first()
        if other is not None:
            raise AskNextError(
                f"This installation drives projects of {other.label_studio_url}; one installation "
                "serves one Label Studio. Start another with its own --data-dir and --port."
            )
        project = session.scalars(
            sa.select(Project).where(
                Project.label_studio_url == url, Project.label_studio_id == label_studio_id
            )
        ).first()
        # A changed config is checked before anything is stored.
        if document is not None or project is None:
            config = parse_config(document)
        else:
            config = parse_config(project.config)
        parse_label_config(remote["label_config"], config.control)
        if project is None:
            project = Project(
                label_studio_url=url,
                label_studio_id=label_studio_id,
                state="disconnected",  # until everything in Label Studio is in place
                created_at=time.time(),
                secret=secrets.token_bytes(32),
            )
            session.add(project)
        kept = project.restore or {}
        if not kept.keys() & set(RESTORED):
            project.restore = {**kept, **{key: remote.get(key) for key in RESTORED}}
        project.label_studio_url = url
        project.title = str(remote.get("title") or "")
        session.flush()
        put_in_force(database, session, project, config)
        apply_label_config(database, session, project, str(remote["label_config"]))
        if document is not None:
            session.add(
                ConfigChange(
                    project_id=project.id,
                    source="cli",
                    digest=config.digest(),
                    document=document if isinstance(document, dict) else json.loads(document),
                    accepted=True,
                    at=time.time(),
                )
            )
        return project


def _ensure_backend(
    settings: Settings,
    database: Database,
    client: LabelStudio,
    project: Project,
    warnings: list[str],
) -> int:
    """Find or add the ML backend with Basic auth and extra params; its id.

    A refused creation may leave the backend saved all the same, so that it is looked for again
    after an error.
    """
    number = project.label_studio_id
    document = explicit_config(project.config)
    values: dict[str, Any] = {
        "url": settings.url,
        "project": number,
        "title": BACKEND_TITLE,
        "extra_params": document,
        **basic_auth(settings.credentials()),
    }
    with database.write() as session:
        note_written_back(session, project.id, document)
    found = _find_backend(client, number, settings.url)
    try:
        if found is not None:
            return int(client.update_backend(found["id"], **values)["id"])
        return int(client.create_backend(**values)["id"])
    except LabelStudioError as error:
        found = _find_backend(client, number, settings.url)
        if found is None:
            raise AskNextError(
                f"Label Studio could not add the ML backend at {settings.url}: {error} "
                "Check that `asknext up` runs and that Label Studio reaches this address; for an "
                "address of this machine or of a private network Label Studio needs "
                "ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false in its environment."
            ) from error
        warnings.append(f"Label Studio saved the ML backend but complained: {error}")
        return int(found["id"])


def _find_backend(client: LabelStudio, number: int, url: str) -> dict[str, Any] | None:
    return next((b for b in client.backends(number) if _same_url(b["url"], url)), None)


def _ensure_webhook(settings: Settings, client: LabelStudio, number: int) -> int | None:
    """Give the webhook that Label Studio made its credentials, or make it; None where refused."""
    target = f"{settings.url}/webhook"
    headers = {"Authorization": authorization_header(settings.credentials())}
    try:
        for webhook in client.webhooks(number):
            if _same_url(webhook["url"], target):
                client.update_webhook(
                    webhook["id"], url=target, headers=headers, is_active=True, send_payload=True
                )
                return int(webhook["id"])
        made = client.create_webhook(
            url=target,
            project=number,
            headers=headers,
            send_payload=True,
            send_for_all_actions=True,
            is_active=True,
        )
        return int(made["id"])
    except LabelStudioRefusedError as error:
        logger.warning("The webhook cannot be set up: %s", error)
        return None


def _ensure_view(client: LabelStudio, number: int) -> int | None:
    for view in client.views(number):
        if (view.get("data") or {}).get("title") == VIEW_TITLE:
            return int(view["id"])
    made = client.create_view(
        number,
        {
            "title": VIEW_TITLE,
            "type": "list",
            "ordering": ["tasks:predictions_score"],
            "filters": {
                "conjunction": "and",
                "items": [
                    {
                        "filter": "filter:tasks:total_annotations",
                        "operator": "equal",
                        "type": "Number",
                        "value": 0,
                    }
                ],
            },
            "hiddenColumns": {"explore": [], "labeling": []},
        },
    )
    return int(made["id"])


def _same_url(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")
