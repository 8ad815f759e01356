"""Label Studio's API as AskNext uses it: JSON in, JSON out, with tokens, retries and clear errors.

The SDK's typed models drop fields that the sync needs and cost several times the time of a page,
so that pages are read here with httpx; the SDK serves for labelling configs (`label_schema`).
"""

import base64
import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from backend.errors import (
    LabelStudioError,
    LabelStudioRefusedError,
    LabelStudioUnreachableError,
    ProjectGoneError,
)
from backend.token_auth import UNAVAILABLE, TokenAuth

logger = logging.getLogger(__name__)

PAGE_SIZE = 1000
REQUEST_SECONDS = 120.0
# How long an idempotent call is repeated while Label Studio is down or restarting.
PATIENCE_SECONDS = 60.0


class LabelStudio:
    """A client of one Label Studio server; safe to use from several threads.

    Raises (every method):
        LabelStudioUnreachableError: no answer within the patience (idempotent calls are repeated).
        LabelStudioRefusedError: an answer with an error status; `ProjectGoneError` for a project's
            404.
    """

    def __init__(
        self, url: str, token: str, *, patience: float = PATIENCE_SECONDS, connect: float = 5.0
    ) -> None:
        self.url = url.rstrip("/")
        self._patience = patience
        self._http = httpx.Client(
            base_url=self.url,
            auth=TokenAuth(self.url, token),
            timeout=httpx.Timeout(REQUEST_SECONDS, connect=connect),
            limits=httpx.Limits(max_connections=16),
            follow_redirects=False,
        )
        # Media of other hosts never see the token, and redirects are followed there.
        self._plain = httpx.Client(timeout=30.0, follow_redirects=True, trust_env=False)

    def close(self) -> None:
        """Close every connection."""
        self._http.close()
        self._plain.close()

    def __enter__(self) -> "LabelStudio":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------- one request

    def call(self, method: str, path: str, *, repeat: bool | None = None, **options: Any) -> Any:
        """One API call; GET and PATCH are repeated while the server is away.

        Returns the decoded JSON, or None for an empty answer.
        """
        repeat = method in ("GET", "PATCH", "DELETE") if repeat is None else repeat
        until = time.monotonic() + self._patience
        wait = 0.25
        while True:
            try:
                response = self._http.request(method, path, **options)
                if response.status_code not in UNAVAILABLE:
                    return self._decode(method, path, response)
                trouble = f"status {response.status_code}"
            except LabelStudioUnreachableError as error:
                trouble = str(error)
            except httpx.HTTPError as error:
                trouble = type(error).__name__
            if not repeat or time.monotonic() + wait > until:
                raise LabelStudioUnreachableError(
                    f"Label Studio at {self.url} did not answer {method} {path} ({trouble}); "
                    "check that it runs and can be reached from here."
                )
            time.sleep(wait)
            wait = min(wait * 2, 5.0)

    def _decode(self, method: str, path: str, response: httpx.Response) -> Any:
        if response.is_success:
            return response.json() if response.content else None
        body: Any
        try:
            body = response.json()
        except ValueError:
            body = response.text[:300]
        detail = body.get("detail", body) if isinstance(body, dict) else body
        if isinstance(body, dict) and body.get("validation_errors"):
            detail = f"{detail}: {json.dumps(body['validation_errors'])[:500]}"
        message = f"Label Studio answered {response.status_code} to {method} {path}: {detail}"
        # Label Studio's own 404 names its status; a proxy's, while it restarts, archives nothing.
        own = isinstance(body, dict) and body.get("status_code") == 404
        if response.status_code == 404 and own and path.startswith("/api/projects/"):
            raise ProjectGoneError(404, message, body)
        raise LabelStudioRefusedError(response.status_code, message[:1000], body)

    # ---------------------------------------------------------------- account and project

    def whoami(self) -> dict[str, Any]:
        """The user that the token belongs to."""
        return dict(self.call("GET", "/api/current-user/whoami"))

    def project(self, project_id: int) -> dict[str, Any]:
        """A project's settings."""
        return dict(self.call("GET", f"/api/projects/{project_id}/"))

    def update_project(self, project_id: int, **values: Any) -> dict[str, Any]:
        """Patch a project's settings."""
        return dict(self.call("PATCH", f"/api/projects/{project_id}/", json=values))

    # ---------------------------------------------------------------- tasks

    def tasks(
        self,
        project_id: int,
        *,
        fields: str,
        include: str | None = None,
        filters: Sequence[dict[str, Any]] = (),
        conjunction: str = "and",
        page_size: int = PAGE_SIZE,
        page: int = 1,
        ordering: str = "tasks:id",
    ) -> tuple[list[dict[str, Any]], int]:
        """One page of the Data Manager's tasks, and the number of tasks that match.

        `fields` is `task_only` (light) or `all` (with whole annotations, without `include`).
        """
        parameters: dict[str, Any] = {
            "project": project_id,
            "page": page,
            "page_size": page_size,
            "fields": fields,
            "resolve_uri": "false",
        }
        if include:
            parameters["include"] = include
        parameters["query"] = json.dumps(
            {
                "filters": {"conjunction": conjunction, "items": list(filters)},
                "ordering": [ordering],
            }
        )
        answer = self.call("GET", "/api/tasks", params=parameters)
        return list(answer["tasks"]), int(answer["total"])

    def total(self, project_id: int) -> int:
        """The number of the project's tasks."""
        _, total = self.tasks(project_id, fields="task_only", include="id", page_size=1)
        return total

    def task_pages(
        self,
        project_id: int,
        *,
        fields: str,
        include: str | None = None,
        filters: Sequence[dict[str, Any]] = (),
        after: int = 0,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[list[dict[str, Any]]]:
        """Every matching task in pages by ascending id, so that changes meanwhile skip none."""
        while True:
            page, _ = self.tasks(
                project_id,
                fields=fields,
                include=include,
                filters=[*filters, id_greater(after)],
                page_size=page_size,
            )
            if not page:
                return
            yield page
            if len(page) < page_size:
                return
            after = max(int(task["id"]) for task in page)

    def latest_update(self, project_id: int) -> str | None:
        """The largest `updated_at` of the project's tasks by the server's clock; None if empty."""
        page, _ = self.tasks(
            project_id,
            fields="task_only",
            include="id,updated_at",
            page_size=1,
            ordering="-tasks:updated_at",
        )
        return str(page[0]["updated_at"]) if page else None

    def tasks_of_version(self, project_id: int, version: str) -> set[int]:
        """Ids of the tasks that hold a prediction of this version."""
        found: set[int] = set()
        for page in self.task_pages(
            project_id,
            fields="task_only",
            include="id",
            filters=[
                {
                    "filter": "filter:tasks:predictions_model_versions",
                    # "contains" would also find q1.12 for q1.1; the versions come comma-joined.
                    "operator": "regex",
                    "type": "String",
                    "value": rf"{re.escape(version)}(,|$)",
                }
            ],
        ):
            found.update(int(task["id"]) for task in page)
        return found

    def update_task(self, task_id: int, **values: Any) -> None:
        """Patch a task; `data` replaces the whole of its data."""
        self.call("PATCH", f"/api/tasks/{task_id}/", json=values)

    # ---------------------------------------------------------------- the queue

    def import_predictions(self, project_id: int, predictions: list[dict[str, Any]]) -> int:
        """Store predictions in bulk; never repeated by itself, for a repeat stores duplicates.

        Returns how many were stored.
        """
        answer = self.call(
            "POST", f"/api/projects/{project_id}/import/predictions", json=predictions
        )
        return int(answer["created"])

    def versions(self, project_id: int) -> list[str]:
        """Every version that some prediction of the project carries."""
        answer = self.call("GET", f"/api/projects/{project_id}/model-versions/")
        return [str(version) for version in answer or {}]

    def delete_version(self, project_id: int, version: str) -> None:
        """Delete every prediction of one version (seconds a thousand on a large project)."""
        self.call(
            "DELETE",
            f"/api/projects/{project_id}/model-versions/",
            json={"model_version": version},
        )

    # ---------------------------------------------------------------- backend, webhook, tab

    def backends(self, project_id: int) -> list[dict[str, Any]]:
        """The ML backends that the project is connected to."""
        return list(self.call("GET", "/api/ml", params={"project": project_id}))

    def create_backend(self, **values: Any) -> dict[str, Any]:
        """Connect an ML backend; Label Studio calls its `/health` and `/setup` at once."""
        return dict(self.call("POST", "/api/ml", json=values))

    def update_backend(self, backend_id: int, **values: Any) -> dict[str, Any]:
        """Change an ML backend; `url` and `project` must be among the values."""
        return dict(self.call("PATCH", f"/api/ml/{backend_id}", json=values))

    def delete_backend(self, backend_id: int) -> None:
        """Disconnect an ML backend."""
        self.call("DELETE", f"/api/ml/{backend_id}")

    def webhooks(self, project_id: int) -> list[dict[str, Any]]:
        """The project's webhooks."""
        return list(self.call("GET", "/api/webhooks/", params={"project": project_id}))

    def create_webhook(self, **values: Any) -> dict[str, Any]:
        """Add a webhook."""
        return dict(self.call("POST", "/api/webhooks/", json=values))

    def update_webhook(self, webhook_id: int, **values: Any) -> dict[str, Any]:
        """Change a webhook."""
        return dict(self.call("PATCH", f"/api/webhooks/{webhook_id}/", json=values))

    def delete_webhook(self, webhook_id: int) -> None:
        """Remove a webhook."""
        self.call("DELETE", f"/api/webhooks/{webhook_id}/")

    def views(self, project_id: int) -> list[dict[str, Any]]:
        """The project's Data Manager tabs."""
        return list(self.call("GET", "/api/dm/views/", params={"project": project_id}))

    def create_view(self, project_id: int, data: dict[str, Any]) -> dict[str, Any]:
        """Add a Data Manager tab."""
        return dict(self.call("POST", "/api/dm/views/", json={"project": project_id, "data": data}))

    def delete_view(self, view_id: int) -> None:
        """Remove a Data Manager tab."""
        self.call("DELETE", f"/api/dm/views/{view_id}/")

    # ---------------------------------------------------------------- media

    def media(self, value: str, task_id: int | None = None) -> bytes:
        """The bytes behind a task's media value: an upload, a local file, a bucket or a web page.

        Only Label Studio's own host gets the token. Files in a bucket (`s3://`, `gs://`, …) are
        read through Label Studio, which holds the bucket's credentials.

        Raises:
            LabelStudioError: the content cannot be had; the message names the reason.
        """
        if value.startswith("data:"):
            return _data_uri(value)
        address = value
        if "://" in value and not value.startswith(("http://", "https://")):
            if task_id is None:
                raise LabelStudioError(f"A file in a bucket needs a task to be read: {value[:80]}")
            encoded = base64.urlsafe_b64encode(value.encode()).decode()
            address = f"/tasks/{task_id}/resolve/?fileuri={encoded}"
        address = urljoin(f"{self.url}/", address)
        own = urlsplit(address)[:2] == urlsplit(self.url)[:2]
        try:
            response = self._http.get(address) if own else self._plain.get(address)
            if own and response.is_redirect:
                target = urljoin(address, response.headers["location"])
                same = urlsplit(target)[:2] == urlsplit(self.url)[:2]
                response = self._http.get(target) if same else self._plain.get(target)
        except httpx.HTTPError as error:
            kind = LabelStudioUnreachableError if own else LabelStudioError
            raise kind(f"{value[:80]} could not be read ({type(error).__name__}).") from None
        if own and response.status_code in (401, *UNAVAILABLE):
            raise LabelStudioUnreachableError(f"Label Studio at {self.url} is not available.")
        if not response.is_success:
            raise LabelStudioRefusedError(
                response.status_code, f"{value[:80]} answered {response.status_code}."
            )
        return response.content


def id_greater(task_id: int) -> dict[str, Any]:
    """The Data Manager filter for tasks with a larger id."""
    return {
        "filter": "filter:tasks:id",
        "operator": "greater",
        "type": "Number",
        "value": task_id,
    }


def updated_after(moment: str) -> dict[str, Any]:
    """The Data Manager filter for tasks updated after a moment (ISO 8601, UTC)."""
    return {
        "filter": "filter:tasks:updated_at",
        "operator": "greater",
        "type": "Datetime",
        "value": moment,
    }


def _data_uri(value: str) -> bytes:
    head, _, body = value.partition(",")
    try:
        if head.endswith(";base64"):
            return base64.b64decode(body, validate=False)
        from urllib.parse import unquote_to_bytes

        return unquote_to_bytes(body)
    except ValueError as error:
        raise LabelStudioError(f"A data: value cannot be decoded ({error}).") from None
