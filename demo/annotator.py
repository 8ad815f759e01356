"""A scripted annotator: labels what the label stream serves, with the true labels, by API alone."""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from demo.labelstudio_session import LabelStudioAnswerError, LabelStudioSession, choice_result

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
PATIENCE_SECONDS = 180.0
# A person's seconds for one task; submitted as the lead time, not waited for.
LEAD_SECONDS = (2.0, 12.0)


@dataclass(frozen=True)
class Labelled:
    """One annotation was submitted; `shown` is the choice that a prediction showed, or None."""

    task: int
    choice: str
    shown: str | None


@dataclass(frozen=True)
class Waiting:
    """Nothing could be labelled; the annotator tries again after `seconds`."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class GaveUp:
    """Nothing could be labelled for `PATIENCE_SECONDS`; the last event of a run."""

    reason: str


AnnotationEvent = Labelled | Waiting | GaveUp


class ScriptedAnnotator:
    """Label tasks of one project as one user; `truth` maps `source_id` to the true choice."""

    def __init__(
        self,
        session: LabelStudioSession,
        project: int,
        from_name: str,
        to_name: str,
        truth: Mapping[str, str],
        seed: int = 0,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.session = session
        self.project = project
        self.from_name = from_name
        self.to_name = to_name
        self.truth = truth
        self.patience = patience
        self._random = random.Random(seed)

    def label(self, count: int) -> Iterator[AnnotationEvent]:
        """Label `count` tasks as the label stream serves them; yield one event for each step.

        A stream that is empty or out of reach is asked again with growing pauses.
        """
        done, waited, pause = 0, 0.0, FIRST_PAUSE_SECONDS
        while done < count:
            try:
                task = self.session.next_task(self.project)
                if task is not None:
                    yield self._annotate(task)
                    done, waited, pause = done + 1, 0.0, FIRST_PAUSE_SECONDS
                    continue
                reason = "the label stream is empty"
            except httpx.TransportError as error:
                reason = f"Label Studio cannot be reached ({type(error).__name__})"
            except LabelStudioAnswerError as error:
                if error.status < 500 and error.status != 404:
                    raise
                reason = f"Label Studio answers {error.status}"
            if waited >= self.patience:
                yield GaveUp(reason)
                return
            yield Waiting(reason, pause)
            time.sleep(pause)
            waited, pause = waited + pause, min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _annotate(self, task: Mapping[str, Any]) -> Labelled:
        choice = self.truth[task["data"]["source_id"]]
        result = choice_result(self.from_name, self.to_name, choice)
        lead_time = self._random.uniform(*LEAD_SECONDS)
        self.session.annotate(task["id"], result, lead_time)
        return Labelled(task["id"], choice, _shown_choice(task))


def _shown_choice(task: Mapping[str, Any]) -> str | None:
    for prediction in task.get("predictions") or []:
        for region in prediction.get("result") or []:
            choices = region.get("value", {}).get("choices")
            if choices:
                return str(choices[0])
    return None
