"""A small real text project in the state: three topics, static embeddings, no Label Studio."""

import time
from collections.abc import Iterable
from copy import deepcopy
from itertools import count, product
from typing import Any

import sqlalchemy as sa

from backend.config import QueueConfig
from backend.evaluation.holdout import permanent_random_number
from backend.rounds import mirror, train
from backend.rounds.context import ProjectContext
from backend.rounds.evaluate import calibrate_and_measure
from backend.rounds.labels import derive_labels
from backend.rounds.schema import apply_label_config
from backend.settings import Settings
from backend.store import work
from backend.store.database import Database
from backend.store.evaluation_tables import HoldoutEra, SplitMember
from backend.store.projects import set_values
from backend.store.tables import Project, Task

# Not in alphabetical order: outputs follow the labelling config's own.
CLASSES = ("weather", "cooking", "football")


def label_config(classes: Iterable[str] = CLASSES, field: str = "text") -> str:
    """A labelling config with one single Choices tag called `topic`."""
    choices = "".join(f'<Choice value="{name}"/>' for name in classes)
    return (
        f'<View><Text name="content" value="${field}"/>'
        f'<Choices name="topic" toName="content" choice="single">{choices}</Choices></View>'
    )


LABEL_CONFIG = label_config()

_WORDS = {
    "weather": (
        ("Rain", "Snow", "Fog", "A storm", "Sunshine"),
        ("is forecast for the coast", "will ease by the evening", "comes with strong wind",
         "stays over the mountains"),
    ),
    "cooking": (
        ("Onions", "Tomatoes", "Lentils", "Potatoes", "Carrots"),
        ("simmer in the pan with butter", "need salt, pepper and garlic", "go into the soup last",
         "are roasted in a hot oven"),
    ),
    "football": (
        ("The striker", "The goalkeeper", "Their coach", "The referee", "A defender"),
        ("saw the penalty in the final match", "left the pitch at half time",
         "praised the team for its goals", "waits for the league's next season"),
    ),
}  # fmt: skip
SENTENCES = {
    topic: [f"{subject} {rest}." for subject, rest in product(*parts)]
    for topic, parts in _WORDS.items()
}
# Task 1 is about the weather, 2 about cooking, 3 about football, 4 about the weather, …
TEXTS = [text for row in zip(*(SENTENCES[name] for name in CLASSES), strict=True) for text in row]
TASK_IDS = list(range(1, len(TEXTS) + 1))


def text_of(task_id: int) -> str:
    """The task's text."""
    return TEXTS[task_id - 1]


def topic_of(task_id: int) -> str:
    """What an annotator who knows the topics would say."""
    return CLASSES[(task_id - 1) % len(CLASSES)]


class TextProject:
    """One project with 60 tasks; annotations come as Label Studio's API shows them."""

    label_studio_id = 7

    def __init__(self, settings: Settings, database: Database, **config: Any) -> None:
        self.settings = settings
        self.database = database
        self._annotations: dict[int, list[dict[str, Any]]] = {}
        self._numbers = count(1)
        self._seconds = count(1)
        full = QueueConfig(**{"encoder": "static", "strategy": "margin", **config})
        with database.write() as session:
            project = Project(
                label_studio_url="http://127.0.0.1:9",
                label_studio_id=self.label_studio_id,
                title="Topics",
                created_at=time.time(),
                secret=b"a secret of exactly 32 bytes ...",
                config=full.model_dump(mode="json"),
            )
            session.add(project)
            session.flush()
            self.id = project.id
            apply_label_config(database, session, project, LABEL_CONFIG)
            mirror.write_tasks(
                database,
                session,
                project,
                [{"id": task_id, "data": {"text": text_of(task_id)}} for task_id in TASK_IDS],
            )
            project.total = len(TASK_IDS)

    @classmethod
    def reopen(
        cls, settings: Settings, database: Database, original: "TextProject"
    ) -> "TextProject":
        """The project in a copy of the data folder that `original` was made in."""
        again = cls.__new__(cls)
        again.settings, again.database, again.id = settings, database, original.id
        again._annotations = deepcopy(original._annotations)
        again._numbers, again._seconds = count(1_000), count(1_000)
        return again

    def row(self) -> Project:
        """The project's row as it is now."""
        with self.database.read() as session:
            return session.get_one(Project, self.id)

    def update(self, **values: Any) -> None:
        """Change columns of the project's row."""
        with self.database.write() as session:
            set_values(session, self.id, **values)

    def context(self) -> ProjectContext:
        """A fresh context, as a job has one."""
        return ProjectContext(self.settings, self.database, self.id)

    def lease(self, kind: work.WorkKind) -> work.Lease:
        """The lease of one kind of work."""
        lease = work.acquire(self.database, self.id, kind, 60.0, even_if_done=True)
        assert lease is not None
        return lease

    # ------------------------------------------------------------ annotations

    def annotate(
        self,
        task_id: int,
        label: str | None,
        *,
        by: int = 1,
        skipped: bool = False,
        sync: bool = True,
    ) -> int:
        """Post an annotation and sync it; its number. No label: an empty one."""
        number = next(self._numbers)
        self._annotations.setdefault(task_id, []).append(
            {
                "id": number,
                "completed_by": by,
                "was_cancelled": skipped,
                "ground_truth": False,
                "lead_time": 1.5,
                "result": _result(label),
                "created_at": self._now(),
                "updated_at": self._now(),
            }
        )
        if sync:
            self.sync([task_id])
        return number

    def annotate_truly(self, task_ids: Iterable[int]) -> None:
        """Label each of these tasks with its true topic; one sync finds them all."""
        task_ids = list(task_ids)
        for task_id in task_ids:
            self.annotate(task_id, topic_of(task_id), sync=False)
        self.sync(task_ids)

    def edit(self, number: int, label: str | None) -> None:
        """Change an annotation and sync it."""
        for task_id, annotations in self._annotations.items():
            for annotation in annotations:
                if annotation["id"] == number:
                    annotation.update(result=_result(label), updated_at=self._now())
                    self.sync([task_id])

    def delete(self, number: int) -> None:
        """Delete an annotation and sync it."""
        for task_id, annotations in self._annotations.items():
            if any(annotation["id"] == number for annotation in annotations):
                annotations[:] = [a for a in annotations if a["id"] != number]
                self.sync([task_id])

    def sync(self, task_ids: Iterable[int]) -> set[int]:
        """Read tasks as Label Studio shows them; those that changed."""
        seen = [{"id": n, "annotations": self._annotations.get(n, [])} for n in task_ids]
        with self.database.write() as session:
            touched = mirror.write_annotations(self.database, session, self.id, seen)
            derive_labels(self.database, session, session.get_one(Project, self.id), touched)
        return touched

    def _now(self) -> str:
        seconds = next(self._seconds)
        return f"2026-11-24T07:{seconds // 60:02d}:{seconds % 60:02d}.000000Z"

    # ------------------------------------------------------------ blind tasks and models

    def hold_out(
        self,
        test: Iterable[int] = (),
        validation: Iterable[int] = (),
        control: Iterable[int] = (),
        frame: int | None = None,
    ) -> None:
        """Give these tasks their roles in a new era."""
        era = self.row().era + 1
        parts = {"test": list(test), "validation": list(validation), "control": list(control)}
        held = len(parts["test"]) + len(parts["validation"])
        frame = frame or len(TASK_IDS) - held
        now = time.time()
        with self.database.write() as session:
            for role, task_ids in parts.items():
                for task_id in task_ids:
                    session.add(
                        SplitMember(
                            project_id=self.id,
                            era=era,
                            task_id=task_id,
                            role=role,
                            u=permanent_random_number(self.row().secret, str(task_id)),
                            drawn_at=now,
                        )
                    )
            session.add(
                HoldoutEra(
                    project_id=self.id,
                    era=era,
                    secret=self.row().secret,
                    reports={
                        "drawn_groups": {
                            "all tasks": {
                                "groups": frame + held,
                                **{role: len(task_ids) for role, task_ids in parts.items()},
                            }
                        }
                    },
                    frames=[{"size": frame, "members": len(parts["control"]), "at": now}],
                    digest="d" * 64,
                    drawn_at=now,
                )
            )
            session.execute(sa.update(Task).where(Task.project_id == self.id).values(role_era=era))
            set_values(session, self.id, era=era, holdout_drawn_at=now)

    def train_round(self, number: int = 1) -> None:
        """Train, measure and store the model of a round, and make it the live one."""
        context = self.context()
        lease = self.lease("round")
        model, _ = train.train(context, number, lease)
        model, _ = calibrate_and_measure(context, model, number)
        train.store_model(context, model, number)
        self.update(model_round=number, round_number=number)
        work.release(lease)


def _result(label: str | None) -> list[dict[str, Any]]:
    if label is None:
        return []
    return [
        {
            "id": "region",
            "from_name": "topic",
            "to_name": "content",
            "type": "choices",
            "value": {"choices": [label]},
        }
    ]
