"""The test set beside its pool: by fields at the draw, by embeddings as soon as they are there."""

from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa

from backend.config import QueueConfig
from backend.evaluation.representativeness import representativeness
from backend.rounds import draw_fit, mirror
from backend.rounds.draw_fit import comparable_fields, compare_once_embedded
from backend.rounds.holdout import draw_splits
from backend.rounds.numbering import current_era
from backend.store.tables import Event, Project
from tests.backend.rounds.test_lift import Clusters


@pytest.fixture
def drawn(text_project):
    """A pool whose hold-outs were drawn when part of it was embedded."""
    with text_project.database.write() as session:
        row = session.get_one(Project, text_project.id)
        tasks = [{"id": n, "data": {"text": f"Late to embed {n}"}} for n in range(200, 300)]
        mirror.write_tasks(text_project.database, session, row, tasks)
        draw_splits(text_project.database, session, row)
    return text_project


def fit(project):
    with project.database.read() as session:
        return current_era(session, project.row()).reports["representativeness"]


def events(project):
    with project.database.read() as session:
        return list(
            session.execute(
                sa.select(Event.level, Event.message).where(Event.message.contains("is embedded:"))
            )
        )


def test_a_draw_before_the_embeddings_is_compared_by_them_once_they_are_there(drawn):
    assert not fit(drawn)["by_embeddings"]
    compare_once_embedded(drawn.context())
    assert not fit(drawn)["by_embeddings"]
    digest = drawn_digest(drawn)
    Clusters(drawn)  # later tasks, embedded: not those of the draw
    compare_once_embedded(drawn.context())
    assert not fit(drawn)["by_embeddings"]
    embed(drawn)
    compare_once_embedded(drawn.context())
    found = fit(drawn)
    assert found["by_embeddings"]
    assert found["differences"][0]["name"].startswith("embedding direction")
    assert drawn_digest(drawn) == digest
    ((_, message),) = events(drawn)
    assert found["text"] in message
    compare_once_embedded(drawn.context())
    assert len(events(drawn)) == 1


def test_a_frozen_set_unlike_its_pool_is_told_of_and_kept(drawn, monkeypatch):
    digest = drawn_digest(drawn)
    embed(drawn)
    monkeypatch.setattr(draw_fit, "representativeness", never_like_the_pool)
    compare_once_embedded(drawn.context())
    ((level, message),) = events(drawn)
    assert level == "warning"
    assert "less like the pool than most" in message
    assert "asknext holdout reset" in message
    assert drawn_digest(drawn) == digest


def never_like_the_pool(*arguments):
    return replace(representativeness(*arguments), limit=-1.0)


def drawn_digest(project):
    with project.database.read() as session:
        return current_era(session, project.row()).digest


def embed(project):
    """Embeddings for every task of the draw."""
    with project.database.read() as session:
        tasks = draw_fit.living_tasks(session, project.id)
    tasks = [task for task in tasks if task.task_id < 1_000]
    cache = project.context().cache
    rows = np.random.default_rng(3).normal(size=(len(tasks), cache.dimension))
    cache.add([task.content_hash for task in tasks], rows.astype(np.float32))


def test_fields_that_name_each_task_are_no_property_of_it():
    tasks = list(range(40))
    fields = {
        n: {
            "row": n,
            "taken": 1_700_000_000.0 + n,
            "file": f"{n}.png",
            "patient": f"p{n // 4}",
            "age": 40 + n % 12,
            "sharpness": n / 7,
            "site": "ab"[n % 2],
        }
        for n in tasks
    }
    found = comparable_fields(fields, tasks, QueueConfig(group_by="patient"))
    assert set(found) == {"age", "sharpness", "site"}
