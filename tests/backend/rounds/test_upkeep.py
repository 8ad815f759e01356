"""What is due after a sync, read from the state, so that a job that was killed changes nothing."""

import time

import pytest

from backend.rounds import queue
from backend.rounds.upkeep import needs_new_window
from backend.rounds.window import Position
from backend.store.tables import Pick


@pytest.fixture
def windowed(text_project):
    """A project with a window of three in force."""
    with text_project.database.write() as session:
        project = text_project.row()
        entries = [(n, Position(n, "strategy", n + 1, "margin", 1.0)) for n in range(3)]
        queue.stage(session, project, "q1", 1, entries)
        session.flush()
        queue.put_in_force(text_project.database, session, project, "q1")
    return text_project


def needs(project):
    with project.database.read() as session:
        return needs_new_window(session, project.row())


def test_a_project_without_a_window_needs_one(text_project):
    assert needs(text_project)


def test_a_window_in_force_is_kept(windowed):
    assert not needs(windowed)


def test_a_window_from_before_the_holdouts_draw_is_replaced(windowed):
    windowed.update(holdout_drawn_at=time.time() - 3600)
    assert not needs(windowed)
    windowed.update(holdout_drawn_at=time.time() + 1)
    assert needs(windowed)


def test_a_switch_that_was_cut_short_is_done_again_but_a_top_up_is_not(windowed):
    def stage(version, position):
        with windowed.database.write() as session:
            entry = (position, Position(position, "strategy", position + 1, "margin", 1.0))
            queue.stage(session, windowed.row(), version, 1, [entry])

    stage("q1", 7)
    assert not needs(windowed)
    stage("q2", 0)
    assert needs(windowed)
    with windowed.database.read() as session:
        assert session.query(Pick).count() == 5
