"""A signed-in Label Studio user: log-in by the web form, personal access token, API calls."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import httpx

from demo.labelstudio_server import Account

TIMEOUT_SECONDS = 120.0
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.25
# Access tokens live 300 s.
ACCESS_SECONDS = 240.0


class LabelStudioAnswerError(Exception):
    """Label Studio answered with an error status."""

    def __init__(self, status: int, method: str, path: str, body: str) -> None:
        super().__init__(f"{method} {path} was answered with {status}: {body[:500]}")
        self.status = status


class LabelStudioSession:
    """API calls as one user, with a personal access token that is refreshed before it ends.

    A request that fails for want of a connection, or with a 5xx status (SQLite is locked at
    times), is repeated with growing pauses. Sessions are not shared between threads.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self._client = httpx.Client(base_url=self.url, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._access = ""
        self._access_until = 0.0

    @classmethod
    def log_in(cls, url: str, account: Account) -> "LabelStudioSession":
        """Log in by the web form and make a personal access token.

        Label Studio allows a user one token at a time: an older one is revoked.

        Raises:
            LabelStudioAnswerError: the log-in was refused.
        """
        with _browser(url) as browser:
            _post_form(
                browser, "/user/login/", {"email": account.email, "password": account.password}
            )
            return cls(url, _make_token(browser))

    @classmethod
    def sign_up(cls, url: str, account: Account, invitation: str) -> "LabelStudioSession":
        """Make a new member of the organisation by its invitation path and log the member in."""
        with _browser(url) as browser:
            fields = {
                "email": account.email,
                "password": account.password,
                "allow_newsletters": "",
                "how_find_us": "Other",
                "elaborate": "demo",
            }
            _post_form(browser, invitation, fields)
            return cls(url, _make_token(browser))

    def with_same_token(self) -> "LabelStudioSession":
        """Return a session of the same user for use in another thread."""
        return LabelStudioSession(self.url, self.token)

    def invite(self, account: Account) -> "LabelStudioSession":
        """Make `account` a member of this user's organisation and return its session."""
        invitation = self.request("GET", "/api/invite")["invite_url"]
        return self.sign_up(self.url, account, invitation)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        repeat: Callable[[], Any] | None = None,
    ) -> Any:
        """Call the API and return the parsed JSON answer (None where there is no content).

        `repeat` is asked before a failed request is sent again: an answer that is not None is
        taken as the request's own answer. Pass it where sending twice would do something twice.

        Raises:
            LabelStudioAnswerError: an error status that a repetition does not mend.
            httpx.TransportError: Label Studio cannot be reached.
        """
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._send(method, path, body)
                if response.status_code < 500 or attempt == ATTEMPTS:
                    break
            except httpx.TransportError:
                if attempt == ATTEMPTS:
                    raise
            time.sleep(pause)
            pause *= 2
            known = repeat() if repeat is not None else None
            if known is not None:
                return known
        if response.status_code >= 400:
            raise LabelStudioAnswerError(response.status_code, method, path, response.text)
        return response.json() if response.content else None

    def download(self, path: str) -> httpx.Response:
        """Fetch a file of Label Studio's with the bearer token."""
        return self._send("GET", path, None)

    def create_project(self, title: str, label_config: str, **fields: Any) -> int:
        """Make a project and return its id."""
        body = {"title": title, "label_config": label_config, **fields}
        project: int = self.request("POST", "/api/projects/", body)["id"]
        return project

    def project(self, project: int) -> dict[str, Any]:
        """Return what the API says of a project."""
        answer: dict[str, Any] = self.request("GET", f"/api/projects/{project}/")
        return answer

    def import_tasks(self, project: int, data: Sequence[Mapping[str, Any]]) -> int:
        """Import one task for each data dictionary and return how many were made."""
        body = [{"data": dict(item)} for item in data]
        answer = self.request("POST", f"/api/projects/{project}/import", body)
        count: int = answer["task_count"]
        return count

    def serve_folder(self, project: int, folder: str) -> None:
        """Let members of `project` load files of a folder of this machine."""
        body = {"project": project, "title": "Files", "path": folder, "use_blob_urls": True}
        self.request("POST", "/api/storages/localfiles/", body)

    def tasks(self, project: int) -> Iterable[dict[str, Any]]:
        """Yield every task's id and data."""
        page, seen = 1, 0
        while True:
            answer = self.request(
                "GET",
                f"/api/tasks?project={project}&page={page}&page_size=1000"
                "&include=id,data&fields=task_only&resolve_uri=false",
            )
            yield from answer["tasks"]
            seen += len(answer["tasks"])
            if seen >= answer["total"] or not answer["tasks"]:
                return
            page += 1

    def next_task(self, project: int) -> dict[str, Any] | None:
        """Return the task that the label stream serves now, locked for this user; None if none."""
        try:
            task: dict[str, Any] = self.request("GET", f"/api/projects/{project}/next/")
        except LabelStudioAnswerError as error:
            if error.status == 404:
                return None
            raise
        return task

    def annotations(self, task: int) -> list[dict[str, Any]]:
        """Return the annotations of a task."""
        answer: list[dict[str, Any]] = self.request("GET", f"/api/tasks/{task}/annotations/")
        return answer

    def annotate(
        self, task: int, result: Sequence[Mapping[str, Any]], lead_time: float
    ) -> dict[str, Any]:
        """Submit one annotation (`lead_time` in seconds) and return it.

        Should the answer get lost, an annotation with this very lead time is taken for the one
        submitted, so that nothing is submitted twice.
        """

        def submitted() -> dict[str, Any] | None:
            found = [item for item in self.annotations(task) if item["lead_time"] == lead_time]
            return found[0] if found else None

        body = {"result": list(result), "lead_time": lead_time}
        answer: dict[str, Any] = self.request(
            "POST", f"/api/tasks/{task}/annotations/", body, repeat=submitted
        )
        return answer

    def _send(self, method: str, path: str, body: Any) -> httpx.Response:
        response = self._send_once(method, path, body)
        if response.status_code == 401:
            self._access_until = 0.0
            response = self._send_once(method, path, body)
        return response

    def _send_once(self, method: str, path: str, body: Any) -> httpx.Response:
        if time.monotonic() >= self._access_until:
            answer = self._client.post("/api/token/refresh/", json={"refresh": self.token})
            if answer.status_code >= 400:
                raise LabelStudioAnswerError(
                    answer.status_code, "POST", "/api/token/refresh/", answer.text
                )
            self._access = answer.json()["access"]
            self._access_until = time.monotonic() + ACCESS_SECONDS
        headers = {"Authorization": f"Bearer {self._access}"}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        return self._client.request(method, path, content=content, headers=headers)


def choice_result(from_name: str, to_name: str, choice: str) -> list[dict[str, Any]]:
    """Return an annotation's result that picks one choice."""
    value = {"choices": [choice]}
    return [{"from_name": from_name, "to_name": to_name, "type": "choices", "value": value}]


def _browser(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)


def _post_form(browser: httpx.Client, path: str, fields: Mapping[str, str]) -> None:
    browser.get(path).raise_for_status()
    form = {**fields, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    response = browser.post(path, data=form)
    # A form that Label Studio accepts leads on to another page; a refused one is shown again.
    if response.status_code != 302:
        raise LabelStudioAnswerError(
            response.status_code, "POST", path.partition("?")[0], "the form was refused"
        )


def _make_token(browser: httpx.Client) -> str:
    headers = {"X-CSRFToken": browser.cookies["csrftoken"]}
    response = browser.post("/api/token/", headers=headers)
    if response.status_code == 409:
        for kept in browser.get("/api/token/").raise_for_status().json():
            old = {"refresh": kept["token"]}
            browser.post("/api/token/blacklist/", headers=headers, json=old).raise_for_status()
        response = browser.post("/api/token/", headers=headers)
    if response.status_code >= 400:
        raise LabelStudioAnswerError(response.status_code, "POST", "/api/token/", response.text)
    token: str = response.json()["token"]
    return token
