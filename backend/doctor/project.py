"""The doctor's look at one project in Label Studio: token, sampling, backend, webhook, speed."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from backend.backend_auth import authorization_header
from backend.doctor.finding import Finding, State
from backend.errors import AskNextError, LabelStudioError
from backend.labelstudio import LabelStudio
from backend.rounds.sync import SAMPLING
from backend.settings import Settings
from backend.store.database import Database
from backend.store.projects import installation_name
from backend.store.tables import Project
from backend.tokens import load_token

TRIED_LABEL_STUDIO = "1.23"
LARGE_PROJECT = 20_000
SLOW_IMPORT_SECONDS = 2.0
IMPORT_FLAG = "fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short"


def examine_project(settings: Settings, database: Database, project: Project) -> Iterator[Finding]:
    number = project.label_studio_id

    def finding(name: str, state: State, message: str, mend: str = "") -> Finding:
        return Finding(name, state, message, mend, number)

    if project.state not in ("active", "paused"):
        yield finding(
            "Connected",
            "warning",
            f"The project is {project.state}.",
            f"Run `asknext connect --project {number}` to drive it again.",
        )
        return
    url = project.label_studio_url
    try:
        client = LabelStudio(url, load_token(settings, url), patience=2.0)
    except AskNextError as error:
        yield finding("Token", "wrong", str(error), f"asknext connect --project {number}")
        return
    with client:
        try:
            user = client.whoami()
        except LabelStudioError as error:
            yield finding(
                "Token",
                "wrong",
                str(error),
                f"Check that {url} runs; set LABEL_STUDIO_TOKEN to a valid personal access token "
                f"and run `asknext connect --project {number}`.",
            )
            return
        yield finding("Token", "ok", f"Valid for {user.get('email', 'a user')} at {url}.")
        try:
            yield _version(client, number)
            remote = client.project(number)
            yield _sampling(remote, number)
            yield _model_version(database, project, remote)
            yield _backend(settings, client, project)
            yield _webhook(settings, client, project)
            yield _import_speed(database, client, project)
        except LabelStudioError as error:
            yield finding(
                "Label Studio",
                "wrong",
                str(error),
                "Check that the project exists and that the token's user may change it.",
            )


def _version(client: LabelStudio, number: int) -> Finding:
    name = "Label Studio's version"
    answer = client.call("GET", "/api/version")
    release = str((answer or {}).get("release") or "unknown")
    if release == TRIED_LABEL_STUDIO or release.startswith(f"{TRIED_LABEL_STUDIO}."):
        return Finding(name, "ok", release, project=number)
    return Finding(
        name,
        "warning",
        f"{release}; AskNext was tried with {TRIED_LABEL_STUDIO}.x.",
        "Watch whether annotators get the tasks in the order of `asknext status`.",
        number,
    )


def _sampling(remote: dict[str, Any], number: int) -> Finding:
    if remote.get("sampling") == SAMPLING:
        return Finding("Sampling", "ok", SAMPLING, project=number)
    return Finding(
        "Sampling",
        "wrong",
        f"It is {remote.get('sampling')!r}, so that the queue is not served.",
        "The next sync sets it back; if it does not, see `asknext status` for the reason.",
        number,
    )


def _model_version(database: Database, project: Project, remote: dict[str, Any]) -> Finding:
    name, number = "Queue in force", project.label_studio_id
    found, wanted = remote.get("model_version") or None, project.queue_version
    if wanted is None:
        return Finding(
            name,
            "warning",
            "No queue is published yet.",
            "It comes with the first sync; see `asknext status`.",
            number,
        )
    if found == wanted:
        return Finding(name, "ok", str(wanted), project=number)
    own = f"asknext-{installation_name(database)}-"
    if str(found).startswith("asknext-") and not str(found).startswith(own):
        return Finding(
            name,
            "wrong",
            f"Another AskNext installation drives this project (its version is {found}).",
            f"Disconnect it there, or run `asknext connect --project {number} --take-over`.",
            number,
        )
    return Finding(
        name,
        "wrong",
        f"Label Studio serves {found!r} instead of {wanted}.",
        "The next sync sets it back; if it does not, run `asknext rank`.",
        number,
    )


def _backend(settings: Settings, client: LabelStudio, project: Project) -> Finding:
    """Label Studio tries the connection each time it lists the backends."""
    name, number = "Label Studio reaches AskNext", project.label_studio_id
    own = [
        backend
        for backend in client.backends(number)
        if backend["id"] == project.backend_id or _same(backend["url"], settings.url)
    ]
    if not own:
        return Finding(
            name,
            "wrong",
            "The project has no ML backend of this installation.",
            f"Run `asknext connect --project {number}`.",
            number,
        )
    backend = own[0]
    if not _same(backend["url"], settings.url):
        return Finding(
            name,
            "wrong",
            f"The project calls {backend['url']}, but AskNext is served at {settings.url}.",
            f"Run `asknext connect --project {number}`, or set --public-url.",
            number,
        )
    if backend.get("state") in ("CO", "TR", "PR"):
        return Finding(name, "ok", f"Connected to {backend['url']}.", project=number)
    reason = str(backend.get("error_message") or "it got no answer from /health")
    return Finding(
        name,
        "wrong",
        f"Not at {backend['url']}: {reason}",
        "Check that `asknext up` runs and that this address is reachable from Label Studio's own "
        "machine or container. For an address of the same machine or of a private network, set "
        "ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false in Label Studio's environment.",
        number,
    )


def _webhook(settings: Settings, client: LabelStudio, project: Project) -> Finding:
    name, number = "Webhook", project.label_studio_id
    own = [w for w in client.webhooks(number) if _same(w["url"], f"{settings.url}/webhook")]
    if not own:
        return Finding(
            name,
            "warning",
            f"There is none, so AskNext polls every {settings.sync_every_seconds:.0f} s.",
            "Set SSRF_PROTECTION_ENABLED=false in Label Studio's environment and connect again.",
            number,
        )
    header = authorization_header(settings.credentials())
    mend = f"Run `asknext connect --project {number}`."
    if (own[0].get("headers") or {}).get("Authorization") != header:
        message = "It does not carry AskNext's credentials: every event is refused."
        return Finding(name, "wrong", message, mend, number)
    if not own[0].get("is_active", True):
        return Finding(name, "wrong", "It is switched off.", mend, number)
    return Finding(name, "ok", "Label Studio sends its events.", project=number)


def _import_speed(database: Database, client: LabelStudio, project: Project) -> Finding:
    """Time the import of one prediction, under a version that nothing serves; then remove it.

    It is blind and of another version than the queue's, so that no annotator can meet it.
    """
    name, number = "Speed of an import", project.label_studio_id
    page, total = client.tasks(number, fields="task_only", include="id", page_size=1)
    if not page:
        return Finding(name, "ok", "The project has no task yet.", project=number)
    version = f"asknext-{installation_name(database)}-doctor"
    prediction = {"task": page[0]["id"], "result": [], "score": 0, "model_version": version}
    try:
        started = time.monotonic()
        client.import_predictions(number, [prediction])
        seconds = time.monotonic() - started
    finally:
        client.delete_version(number, version)
    message = f"{seconds:.1f} s for one prediction ({total:,} tasks)."
    if total > LARGE_PROJECT and seconds > SLOW_IMPORT_SECONDS:
        return Finding(
            name,
            "warning",
            message,
            f"Set {IMPORT_FLAG}=true in Label Studio's environment: each import walks the whole "
            "project without it.",
            number,
        )
    return Finding(name, "ok", message, project=number)


def _same(one: str, other: str) -> bool:
    first, second = urlsplit(one.rstrip("/")), urlsplit(other.rstrip("/"))
    return (first.netloc, first.path) == (second.netloc, second.path)
