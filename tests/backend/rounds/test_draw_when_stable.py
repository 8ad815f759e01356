"""The draw waits for the embeddings, by which it is compared with the pool, but not for long."""

import time

import numpy as np
import pytest

from backend.rounds.draw_when_stable import draw_when_stable
from backend.rounds.numbering import current_era
from backend.store.tables import Project
from tests.backend.text_project import TASK_IDS

STABLE = 30.0


@pytest.fixture
def draw(text_project):
    def run(stable_for, embeddings):
        now = time.time()
        with text_project.database.write() as session:
            project = session.get_one(Project, text_project.id)
            project.first_synced_at, project.stable_total_at = now - 500, now - stable_for
            return draw_when_stable(text_project.database, session, project, STABLE, embeddings)

    return run


def names(project):
    with project.database.read() as session:
        report = current_era(session, project.row()).reports["representativeness"]
    return [one["name"] for one in report["differences"]]


def test_a_draw_is_compared_with_the_pool_by_its_directions(draw, text_project):
    vectors = np.random.default_rng(0).normal(size=(len(TASK_IDS), 8)).astype(np.float32)
    assert draw(STABLE + 1, lambda hashes: vectors[: len(hashes)])
    assert any(name.startswith("embedding direction") for name in names(text_project))


def test_it_waits_for_the_embeddings_as_long_as_for_the_tasks_and_no_longer(draw, text_project):
    assert not draw(STABLE - 1, None)
    assert not draw(STABLE + 1, lambda _: None)
    assert text_project.row().holdout_drawn_at is None
    assert draw(2 * STABLE + 1, lambda _: None)
    assert names(text_project) == []
