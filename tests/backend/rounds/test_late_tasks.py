"""Late tasks: whether the pool has moved, and what the test figure is with them."""

import json

import numpy as np
import pytest

from backend.rounds import mirror
from backend.rounds.late_tasks import drift_report, supplemented
from backend.rounds.numbering import current_era
from backend.store.evaluation_tables import SplitMember
from backend.store.tables import Project, Task
from tests.backend.rounds.test_lift import Clusters


@pytest.fixture
def clusters(text_project):
    """1,200 items of a mixture, 60 of them in the test set; the draw knew them all."""
    made = Clusters(text_project)
    text_project.hold_out(test=made.ids[:60].tolist())
    with text_project.database.write() as session:
        era = current_era(session, session.get_one(Project, text_project.id))
        era.reports = {**era.reports, "last_task": int(made.ids[-1])}
    return made


def arrive(clusters, count, shift=0.0, first=5_000, **fields):
    """New tasks like the ones before, moved by `shift` in every direction."""
    rng = np.random.default_rng(9)
    ids = np.arange(first, first + count)
    points = clusters.points[rng.integers(len(clusters.points), size=count)]
    points = points + 0.02 * rng.normal(size=points.shape).astype(np.float32)
    points[:, :4] += np.float32(shift)
    project = clusters.project
    with project.database.write() as session:
        row = session.get_one(Project, project.id)
        tasks = [{"id": int(n), "data": {"text": f"Late {n}", **fields}} for n in ids]
        mirror.write_tasks(project.database, session, row, tasks)
        for task in ids.tolist():
            session.get_one(Task, (project.id, task)).role_era = row.era
    hashes = [mirror.content_hash(f"Late {n}") for n in ids]
    project.context().cache.add(hashes, points.astype(np.float32))
    return ids


def join(project, arrival, members, *, at, rate):
    """Make the first of an arrival's tasks members of the test set, for it gave such a part."""
    with project.database.write() as session:
        row = session.get_one(Project, project.id)
        era = current_era(session, row)
        whole = {"test": [0.0, 1.0], "validation": [1.0, 1.0], "control": [1.0, 1.0]}
        era.intervals = {"all tasks": whole}
        rates = {"test": rate, "validation": 0.0, "control": 0.0}
        kept = [*era.reports.get("late_rates", []), _arrival(at, rates, arrival)]
        era.reports = {**era.reports, "late_rates": kept}
        for place, task in enumerate(arrival[:members].tolist()):
            session.add(
                SplitMember(
                    project_id=project.id,
                    era=row.era,
                    task_id=task,
                    role="test",
                    u=rate * (place + 0.5) / members,
                    late=True,
                    drawn_at=at,
                )
            )


def _arrival(at, rates, tasks):
    return {"at": at, "rates": rates, "last_task": int(tasks[-1])}


def test_while_hardly_any_came_late_there_is_nothing_to_tell(clusters):
    arrive(clusters, 20)
    assert drift_report(clusters.project.context()) is None


def test_tasks_like_the_old_ones_leave_the_test_set_representative(clusters):
    arrive(clusters, 400)
    found = drift_report(clusters.project.context())
    assert found["verdict"] == "represents"
    json.dumps(found)


def test_other_tasks_are_seen_to_have_drifted(clusters):
    arrive(clusters, 400, shift=1.0)
    found = drift_report(clusters.project.context())
    assert found["verdict"] == "drifted"
    assert found["separation"]["low"] > 0.556


def test_a_new_value_of_a_field_is_a_drift_too(clusters):
    arrive(clusters, 400, scanner="new")
    found = drift_report(clusters.project.context())
    assert found["verdict"] == "drifted"
    assert "scanner" in found["text"]


def test_late_test_members_count_by_the_tasks_that_they_stand_for(clusters):
    project = clusters.project
    clusters.label(range(60, 160))
    clusters.label(range(60))
    project.train_round(1)
    context = project.context()
    assert supplemented(context, context.live_model()) is None
    ids = arrive(clusters, 400)
    join(project, ids, 20, at=1.0, rate=0.05)
    for task in ids[:20].tolist():
        project.annotate(task, "weather")
    context = project.context()
    found = supplemented(context, context.live_model())
    frozen, late = found["frozen"], found["late"]
    assert (frozen["items"], late["items"]) == (60, 20)
    expected = (1_260 * frozen["value"] + 400 * late["value"]) / 1_660
    assert found["value"] == pytest.approx(expected, abs=0.02)
    assert found["low"] < found["value"] < found["high"]
    json.dumps(found)


def test_an_arrival_that_is_answered_in_part_counts_by_what_it_is(clusters):
    """Two arrivals of 400 tasks, of which 40 each are members; of the second 10 are answered."""
    project = clusters.project
    clusters.label(range(160))
    project.train_round(1)
    first, second, third = (arrive(clusters, 400, first=n) for n in (5_000, 6_000, 7_000))
    for at, ids in ((1.0, first), (2.0, second), (3.0, third)):
        join(project, ids, 40, at=at, rate=0.1)
    context = project.context()
    model = context.live_model()

    def label(ids, *, right):
        cache = project.context().cache
        said = model.probabilities(
            cache.get([mirror.content_hash(f"Late {n}") for n in ids])
        ).argmax(axis=1)
        for task, number in zip(ids.tolist(), said, strict=True):
            project.annotate(task, model.classes[number if right else (number + 1) % 3])

    label(first[:40], right=True)
    label(second[:10], right=False)
    found = supplemented(project.context(), model)
    # Each arrival stands for its 400 tasks, however many of its members are answered yet.
    assert found["late"]["value"] == pytest.approx(0.5)
    assert found["not_reached"] == 400  # nothing of the third
    expected = (1_260 * found["frozen"]["value"] + 800 * 0.5) / 2_060
    assert found["value"] == pytest.approx(expected, abs=0.03)
