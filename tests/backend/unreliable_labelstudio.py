"""A tiny HTTP server that speaks the endpoints of a sync and a publish, and fails on demand.

The real Label Studio is met in `tests/e2e`. It cannot be made to cut a connection after it has
stored an import, to be away for exactly three requests, or to lose a task between two requests;
this one can. What it answers follows the real server's documented behaviour.
"""

import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

PERSONAL_TOKEN = "header.personal.signature"
Answer = tuple[int, Any]


@dataclass
class Failure:
    """What goes wrong with the next `times` requests that match."""

    method: str
    path: str
    status: int = 0
    body: Any = None
    times: int = 1
    cut_after: bool = False


@dataclass
class Stored:
    """One task of the server."""

    number: int
    data: dict[str, Any]
    updated_at: str
    annotations: list[dict[str, Any]] = field(default_factory=list)


class UnreliableLabelStudio:
    """One project, number 7; a context manager that serves until its end."""

    def __init__(self, label_config: str) -> None:
        self.project: dict[str, Any] = {
            "id": 7,
            "title": "Topics",
            "label_config": label_config,
            "sampling": "Uncertainty sampling",
            "model_version": None,
            "maximum_annotations": 1,
            "show_collab_predictions": False,
        }
        self.tasks: dict[int, Stored] = {}
        self.predictions: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.gone = False
        self.failures: list[Failure] = []
        self._access = count(1)
        self._valid: str | None = None
        self._clock = count(1)
        self._annotation = count(1)
        self._lock = threading.Lock()

    def __enter__(self) -> "UnreliableLabelStudio":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    # ------------------------------------------------------------ what people do there

    def add_task(self, number: int, data: dict[str, Any]) -> None:
        """Import a task."""
        self.tasks[number] = Stored(number, data, self._now())

    def delete_task(self, number: int) -> None:
        """Delete a task; nothing else shows that it ever was."""
        del self.tasks[number]
        self.predictions = [p for p in self.predictions if p["task"] != number]

    def annotate(self, task: int, label: str, *, skipped: bool = False) -> int:
        """Post an annotation."""
        number = next(self._annotation)
        now = self._now()
        self.tasks[task].updated_at = now
        self.tasks[task].annotations.append(
            {
                "id": number,
                "completed_by": 1,
                "was_cancelled": skipped,
                "result": _choice(label),
                "created_at": now,
                "updated_at": now,
            }
        )
        return number

    def edit(self, task: int, number: int, label: str) -> None:
        """Change an annotation."""
        now = self.tasks[task].updated_at = self._now()
        for annotation in self.tasks[task].annotations:
            if annotation["id"] == number:
                annotation.update(result=_choice(label), updated_at=now)

    def delete_annotation(self, task: int, number: int) -> None:
        """Delete an annotation."""
        self.tasks[task].updated_at = self._now()
        self.tasks[task].annotations = [
            a for a in self.tasks[task].annotations if a["id"] != number
        ]

    def touch(self, task: int) -> None:
        """Move a task's `updated_at`, as "Retrieve predictions" does."""
        self.tasks[task].updated_at = self._now()

    # ------------------------------------------------------------ what goes wrong there

    def fail(self, method: str, path: str, status: int, body: Any = None, times: int = 1) -> None:
        """Answer the next requests of this kind with an error."""
        self.failures.append(Failure(method, path, status, body, times))

    def cut_after(self, method: str, path: str) -> None:
        """Do what the next request of this kind asks, and close the connection without a word."""
        self.failures.append(Failure(method, path, cut_after=True))

    def expire_access(self) -> None:
        """From now on the access token that was handed out is refused."""
        self._valid = None

    # ------------------------------------------------------------ what it holds

    def queue(self) -> list[int]:
        """The tasks that would be served, lowest score first."""
        served = [
            p for p in self.predictions if p["model_version"] == self.project["model_version"]
        ]
        return [p["task"] for p in sorted(served, key=lambda p: p["score"])]

    def asked(self, method: str, path: str) -> int:
        """How many requests of a kind came."""
        return sum(m == method and p.startswith(path) for m, p in self.requests)

    # ------------------------------------------------------------ HTTP

    def answer(self, method: str, target: str, token: str, body: Any) -> Answer | None:
        """Status and document; None to cut the connection."""
        url = urlsplit(target)
        with self._lock:
            self.requests.append((method, url.path))
            failure = next(
                (
                    f
                    for f in self.failures
                    if f.times and f.method == method and url.path.startswith(f.path)
                ),
                None,
            )
            if failure is not None:
                failure.times -= 1
                if not failure.cut_after:
                    return failure.status, failure.body or {"detail": "failing on demand"}
            given = self._route(method, url.path, parse_qs(url.query), token, body)
            return None if failure is not None else given

    def _route(
        self, method: str, path: str, query: dict[str, list[str]], token: str, body: Any
    ) -> Answer:
        if path == "/api/token/refresh/":
            if body != {"refresh": PERSONAL_TOKEN}:
                return 401, {"detail": "Token is invalid"}
            self._valid = f"access-{next(self._access)}"
            return 200, {"access": self._valid}
        if self._valid is None or token != f"Bearer {self._valid}":
            return 401, {"detail": "Given token not valid for any token type"}
        if self.gone and path.startswith("/api/projects/7"):
            return 404, {"status_code": 404, "detail": "No Project matches the given query."}
        if path == "/api/projects/7/":
            return self._patch(body) if method == "PATCH" else (200, self._project())
        if path == "/api/projects/7/import/predictions":
            return self._import(body)
        if path == "/api/tasks":
            return self._list(query)
        if path == "/api/dm/views/":
            return 200, self.views
        if method == "PATCH" and (found := re.fullmatch(r"/api/tasks/(\d+)/", path)):
            self.tasks[int(found[1])].data = body["data"]
            self.touch(int(found[1]))
            return 200, {}
        return 404, {"detail": "Not found."}

    def _patch(self, values: dict[str, Any]) -> Answer:
        version = values.get("model_version")
        if version and not any(p["model_version"] == version for p in self.predictions):
            return 400, {"detail": "Validation error", "validation_errors": {"model_version": []}}
        if values.get("show_collab_predictions") is False:
            self.project["model_version"] = ""  # as the real one does
        self.project.update(values)
        return 200, self._project()

    def _project(self) -> dict[str, Any]:
        useful = [
            annotation
            for task in self.tasks.values()
            for annotation in task.annotations
            if not annotation["was_cancelled"]
        ]
        return {
            **self.project,
            "task_number": len(self.tasks),
            "useful_annotation_number": len(useful),
        }

    def _import(self, predictions: list[dict[str, Any]]) -> Answer:
        for item in predictions:
            if item["task"] not in self.tasks:
                return 400, [f"Item: task ID {item['task']} not found in the project"]
        self.predictions += predictions
        return 201, {"created": len(predictions)}

    def _list(self, query: dict[str, list[str]]) -> Answer:
        if "view" in query:
            (view,) = (v for v in self.views if v["id"] == int(query["view"][0]))
            asked = {"filters": view["data"]["filters"], "ordering": ["tasks:id"]}
        else:
            asked = json.loads(query["query"][0])
        conditions = [_condition(item) for item in asked["filters"]["items"]]
        rows = [
            row for row in map(self._row, self.tasks.values()) if all(c(row) for c in conditions)
        ]
        (ordering,) = asked["ordering"]
        key = ordering.rpartition(":")[2]
        rows.sort(key=lambda row: row[key], reverse=ordering.startswith("-"))
        size = int(query["page_size"][0])
        start = (int(query["page"][0]) - 1) * size
        shown = query.get("include", [""])[0].split(",")
        page = [
            {k: v for k, v in row.items() if shown == [""] or k in shown}
            for row in rows[start : start + size]
        ]
        return 200, {"tasks": page, "total": len(rows)}

    def _row(self, task: Stored) -> dict[str, Any]:
        cancelled = sum(a["was_cancelled"] for a in task.annotations)
        held = [p["model_version"] for p in self.predictions if p["task"] == task.number]
        return {
            "id": task.number,
            "data": task.data,
            "updated_at": task.updated_at,
            "annotations": task.annotations,
            "total_annotations": len(task.annotations) - cancelled,
            "cancelled_annotations": cancelled,
            "predictions_model_versions": ",".join(held),
        }

    def _now(self) -> str:
        """A clock of its own, a minute further with every act."""
        minutes = next(self._clock)
        return f"2026-01-{1 + minutes // 1440:02d}T{minutes // 60 % 24:02d}:{minutes % 60:02d}:00Z"


def _condition(item: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    name, value = item["filter"].rpartition(":")[2], item["value"]
    if item["operator"] == "regex":
        return lambda row: re.search(value, row[name]) is not None
    if item["operator"] == "in_list":
        return lambda row: row[name] in value
    assert item["operator"] == "greater"
    if item["type"] == "Datetime":
        moment = datetime.fromisoformat(value)
        return lambda row: datetime.fromisoformat(row[name]) > moment
    return lambda row: bool(row[name] > value)


def _choice(label: str) -> list[dict[str, Any]]:
    return [
        {
            "from_name": "topic",
            "to_name": "content",
            "type": "choices",
            "value": {"choices": [label]},
        }
    ]


def _handler(server: UnreliableLabelStudio) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            token = self.headers.get("authorization") or ""
            given = server.answer(self.command, self.path, token, body)
            if given is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, document = given
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    return Handler
