"""Scripted annotators at work in several projects at once, and when AskNext knows all they did."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from demo.annotator import GaveUp, Labelled, ScriptedAnnotator, Waiting
from demo.display import AnnotatorProgress


class Annotating:
    """Run one scripted annotator a project, each in a thread, until each has labelled `count`."""

    def __init__(self, annotators: Sequence[ScriptedAnnotator], count: int) -> None:
        self.count = count
        self.progress = {item.project: AnnotatorProgress(wanted=count) for item in annotators}
        self.failures: list[str] = []
        self._tasks: dict[int, set[int]] = {item.project: set() for item in annotators}
        self._annotators = {item.project: item for item in annotators}
        self._threads = [
            threading.Thread(target=self._run, args=(item,), daemon=True) for item in annotators
        ]

    def start(self) -> None:
        """Begin labelling."""
        for thread in self._threads:
            thread.start()

    @property
    def ended(self) -> bool:
        """Whether no annotator labels any more."""
        return not any(thread.is_alive() for thread in self._threads)

    def known_to(self, projects: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether AskNext's state holds every label that was submitted.

        Also compared with Label Studio's own count, because people may label at the same time.
        """
        if not self.ended or self.failures or not self._annotators:
            return False
        seen = {project["id"]: project for project in projects}
        for number, annotator in self._annotators.items():
            project = seen.get(number)
            if project is None or project["labelled"] < len(self._tasks[number]):
                return False
            held = annotator.session.project(number)["total_annotations_number"]
            if project["annotations"] < held:
                return False
        return True

    def _run(self, annotator: ScriptedAnnotator) -> None:
        progress = self.progress[annotator.project]
        try:
            for event in annotator.label(self.count):
                match event:
                    case Labelled(task=task):
                        self._tasks[annotator.project].add(task)
                        progress.done += 1
                        progress.note = ""
                    case Waiting(reason=reason):
                        progress.note = f"waits: {reason}"
                    case GaveUp(reason=reason):
                        progress.note = f"gave up: {reason}"
                        self.failures.append(f"Project {annotator.project}: {reason}.")
        except Exception as error:
            progress.note = f"failed: {error}"
            self.failures.append(f"Project {annotator.project}: {error}")
