"""A Label Studio project that AskNext drives, as the tests see it: through the two APIs alone."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from demo.asknext_server import AskNextServer
from demo.labelstudio_session import LabelStudioSession, choice_result

QUEUE_TIMEOUT_SECONDS = 90.0


@dataclass
class Driven:
    """`truth` maps a text to its class; `session` is the admin's, who annotates too."""

    asknext: AskNextServer
    session: LabelStudioSession
    number: int
    truth: dict[str, str]
    api: httpx.Client = field(repr=False)

    def state(self) -> dict[str, Any]:
        answer = self.api.get(f"/api/projects/{self.number}")
        answer.raise_for_status()
        return answer.json()

    def queue(self) -> list[dict[str, Any]]:
        answer = self.api.get(f"/api/projects/{self.number}/queue")
        answer.raise_for_status()
        return answer.json()["positions"]

    def explain(self, task: int) -> dict[str, Any]:
        answer = self.api.get(f"/api/projects/{self.number}/tasks/{task}/explanation")
        answer.raise_for_status()
        return answer.json()

    def labelled(self) -> list[int]:
        """The tasks that hold an annotation, as Label Studio says."""
        return [
            task["id"]
            for task in self.session.tasks(self.number)
            if self.explain(task["id"])["state"] == "answered"
        ]

    def rounds(self) -> list[dict[str, Any]]:
        return [r for r in self.state()["rounds"] if r["state"] == "done"]

    def wait(
        self, condition: Callable[[dict[str, Any]], Any], seconds: float = QUEUE_TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """The state once `condition` holds for it."""
        until = time.monotonic() + seconds
        while True:
            state = self.state()
            if condition(state):
                return state
            assert time.monotonic() < until, f"it never came to that: {state}"
            time.sleep(0.1)

    def settle(self) -> dict[str, Any]:
        """Wait until nothing is asked of the workers and nothing runs."""
        return self.wait(
            lambda s: not any(w["running"] or w["waiting"] for w in s["work"].values())
        )

    def sync(self) -> dict[str, Any]:
        """Nudge, as Label Studio's webhook does, and wait until the sync has seen everything."""
        self.api.post(
            "/webhook", json={"action": "TASKS_CREATED", "project": {"id": self.number}}
        ).raise_for_status()
        time.sleep(0.1)
        return self.settle()

    def rank(self) -> dict[str, Any]:
        """Run a round and wait for its end."""
        before = len(self.rounds())
        self.api.post(f"/api/projects/{self.number}/rank").raise_for_status()
        self.wait(lambda s: sum(r["state"] == "done" for r in s["rounds"]) > before)
        return self.settle()

    def label(self, task: int, choice: str, session: LabelStudioSession | None = None) -> int:
        """Annotate one task; the annotation's id."""
        answer = (session or self.session).request(
            "POST",
            f"/api/tasks/{task}/annotations/",
            {"result": choice_result("topic", "text", choice), "lead_time": 2.0},
        )
        return int(answer["id"])

    def serve(self, session: LabelStudioSession | None = None) -> dict[str, Any]:
        """The task that the label stream serves next."""
        task = (session or self.session).next_task(self.number)
        assert task is not None, "the label stream served nothing"
        return task

    def label_next(self, session: LabelStudioSession | None = None) -> int:
        """Label the next task with the truth; its id."""
        task = self.serve(session)
        self.label(task["id"], self.truth[task["data"]["text"]], session)
        return int(task["id"])

    def label_many(self, count: int) -> list[int]:
        return [self.label_next() for _ in range(count)]
