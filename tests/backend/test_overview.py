"""A project's overview says what is in the state, in one JSON document, and stays cheap."""

import json
import time

import numpy as np
import pytest

from backend.config import QueueConfig
from backend.models.embedding_cache import EmbeddingCache
from backend.models.encoder import load_encoder
from backend.overview import all_overviews, project_overview
from backend.settings import Settings
from backend.store import work
from backend.store.database import Database
from backend.store.evaluation_tables import SplitMember
from backend.store.projects import installation_name, record_event
from backend.store.tables import (
    Annotation,
    ConfigChange,
    ContentFailure,
    Label,
    LabelChange,
    Pick,
    Project,
    Round,
    Task,
)

QUEUE_VERSION = "asknext-test-q1.2"
POOL = 40
NOW = time.time()


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def database(settings):
    opened = Database(settings.database)
    opened.migrate()
    yield opened
    opened.dispose()


def content(task_id):
    return task_id.to_bytes(16, "big")


@pytest.fixture
def project(database):
    with database.write() as session:
        row = Project(
            label_studio_url="http://localhost:8080",
            label_studio_id=7,
            title="Reviews",
            created_at=NOW,
            secret=b"s" * 32,
            kind="text",
            classes=["a", "b"],
            config=QueueConfig(encoder="static", budget=500).model_dump(mode="json"),
            era=1,
            holdout_drawn_at=NOW,
            model_round=1,
            queue_version=QUEUE_VERSION,
            last_synced_at=NOW,
            total=POOL,
        )
        session.add(row)
        session.flush()
        session.add_all(
            Task(
                project_id=row.id,
                task_id=task_id,
                content_hash=content(task_id),
                value=f"text {task_id}",
                u=task_id / POOL,
                deleted_at=NOW if task_id == POOL else None,
            )
            for task_id in range(1, POOL + 1)
        )
        return row


def annotate(session, project, task_id, *, cancelled=False, label=None, status="settled", at=NOW):
    session.add(
        Annotation(
            project_id=project.id,
            annotation_id=task_id,
            task_id=task_id,
            cancelled=cancelled,
            created_at="2026-01-01T00:00:00Z",
            updated_at="2026-01-01T00:00:00Z",
        )
    )
    if cancelled:
        return
    session.add(
        Label(
            project_id=project.id,
            task_id=task_id,
            label=label,
            status=status,
            votes=1,
            changed_at=at,
        )
    )
    session.add(
        LabelChange(
            project_id=project.id,
            task_id=task_id,
            schema_number=1,
            label=label,
            status=status,
            at=at,
        )
    )


def pick(project, position, task_id, family="strategy", state="queued", version=QUEUE_VERSION):
    return Pick(
        project_id=project.id,
        version=version,
        position=position,
        ordinal=position,
        round=1,
        task_id=task_id,
        family=family,
        branch=family,
        blind=family != "strategy",
        state=state,
        created_at=NOW - 100,
    )


def test_labels_skips_and_ties_are_counted_apart(settings, database, project):
    with database.write() as session:
        annotate(session, project, 1, label="a")
        annotate(session, project, 2, label="b")
        annotate(session, project, 3, status="tie")
        annotate(session, project, 4, cancelled=True)
    found = project_overview(settings, database, project)
    assert (found["labelled"], found["unsettled"], found["skipped"]) == (2, 1, 1)
    assert found["annotations"] == 3
    assert found["pool"] == POOL - 1


def test_a_skip_beside_an_annotation_is_no_skipped_task(settings, database, project):
    with database.write() as session:
        annotate(session, project, 1, label="a")
        session.add(
            Annotation(
                project_id=project.id,
                annotation_id=99,
                task_id=1,
                cancelled=True,
                created_at="2026-01-01T00:00:00Z",
                updated_at="2026-01-01T00:00:00Z",
            )
        )
    assert project_overview(settings, database, project)["skipped"] == 0


def test_the_queue_is_what_is_unanswered_of_the_version_in_force(settings, database, project):
    with database.write() as session:
        session.add_all(
            [
                pick(project, 0, 1),
                pick(project, 1, 2),
                pick(project, 2, 3, "random"),
                pick(project, 3, 4, "test"),
                pick(project, 4, 5, state="resolved"),
                pick(project, 5, 6, "validation", state="staged"),
                pick(project, 6, 7, state="queued", version="asknext-test-q1.1"),
            ]
        )
    queue = project_overview(settings, database, project)["queue"]
    assert queue == {"strategy": 2, "random": 1, "test": 1, "validation": 0}


def test_holdouts_of_the_current_era_with_their_labelled_members(settings, database, project):
    with database.write() as session:
        session.add_all(
            SplitMember(
                project_id=project.id, era=era, task_id=task_id, role=role, u=0.1, drawn_at=NOW
            )
            for era, task_id, role in (
                (0, 1, "test"),
                (1, 2, "test"),
                (1, 3, "test"),
                (1, 4, "validation"),
            )
        )
        annotate(session, project, 1, label="a")
        annotate(session, project, 2, label="a")
        annotate(session, project, 4, status="tie")
    assert project_overview(settings, database, project)["holdout"] == {
        "era": 1,
        "test": {"size": 2, "labelled": 1},
        "validation": {"size": 1, "labelled": 0},
        "control": {"size": 0, "labelled": 0},
    }


def test_only_labels_from_outside_the_queue_are_unplanned(settings, database, project):
    with database.write() as session:
        session.add_all(
            [pick(project, 0, 1, state="resolved"), pick(project, 1, 2, state="staged")]
        )
        annotate(session, project, 1, label="a")  # from the queue
        annotate(session, project, 3, label="a", at=NOW - 500)  # before there was a queue
        annotate(session, project, 2, label="a")  # staged, never served
        annotate(session, project, 4, label="a")  # random, by Label Studio
    assert project_overview(settings, database, project)["unplanned"] == 2


def test_embedded_tasks_are_counted_as_embedding_goes_on(settings, database, project):
    encoder = load_encoder("static", "text")
    assert project_overview(settings, database, project)["embedded"] == 0
    cache = EmbeddingCache(settings.embeddings_dir, encoder.fingerprint, encoder.dimension)
    vectors = np.ones((3, encoder.dimension), dtype=np.float32)
    cache.add([content(1), content(2), content(900)], vectors)
    assert project_overview(settings, database, project)["embedded"] == 2
    cache.add([content(3), content(4), content(POOL)], vectors)
    assert project_overview(settings, database, project)["embedded"] == 4


def test_new_and_deleted_tasks_are_seen(settings, database, project):
    encoder = load_encoder("static", "text")
    cache = EmbeddingCache(settings.embeddings_dir, encoder.fingerprint, encoder.dimension)
    cache.add([content(1), content(2)], np.ones((2, encoder.dimension), dtype=np.float32))
    assert project_overview(settings, database, project)["embedded"] == 2
    with database.write() as session:
        session.get_one(Task, (project.id, 1)).deleted_at = NOW
    found = project_overview(settings, database, project)
    assert (found["embedded"], found["pool"]) == (1, POOL - 2)


def test_an_encoder_that_is_not_there_is_a_warning(settings, database, project):
    with database.write() as session:
        row = session.get_one(Project, project.id)
        row.config = {**row.config, "encoder": "efficientnet-lite0"}
    found = project_overview(settings, database, project)
    assert found["embedded"] == 0
    assert any("efficientnet-lite0" in text for text in found["warnings"])


def test_work_is_running_only_under_a_living_lease(settings, database, project):
    for kind in ("sync", "round"):
        work.request(database, project.id, kind)
    lease = work.acquire(database, project.id, "round", 30.0, even_if_done=False)
    lease.report(stage="train", done=1, total=4)
    found = project_overview(settings, database, project)["work"]
    assert found["sync"] == {"running": False, "waiting": True, "progress": {}}
    assert found["round"] == {
        "running": True,
        "waiting": False,
        "progress": {"stage": "train", "done": 1, "total": 4},
    }
    assert found["embed"] == {"running": False, "waiting": False, "progress": {}}
    work.release(lease)
    work.request(database, project.id, "round")
    work.acquire(database, project.id, "round", -1.0, even_if_done=False)
    found = project_overview(settings, database, project)["work"]["round"]
    assert (found["running"], found["waiting"]) == (False, True)


def test_rounds_come_oldest_first_and_events_newest_first(settings, database, project):
    with database.write() as session:
        for number in (2, 1):
            session.add(
                Round(
                    project_id=project.id,
                    number=number,
                    state="done",
                    started_at=NOW,
                    metrics={"test": {"accuracy": 0.5, "macro_f1": 0.4, "labelled": 8}},
                )
            )
        for number in range(25):
            record_event(session, project.id, "info", f"event {number}")
            session.flush()
    found = project_overview(settings, database, project)
    assert [row["number"] for row in found["rounds"]] == [1, 2]
    # What the test set says stays sealed.
    assert found["rounds"][0]["metrics"]["test"] == {"labelled": 8, "sealed": True}
    assert [row["message"] for row in found["events"]] == [f"event {n}" for n in range(24, 4, -1)]
    assert found["model_version"] == f"asknext-{installation_name(database)}-m1"


def test_a_refusal_is_shown_until_an_accepted_change_follows(settings, database, project):
    def change(accepted, message):
        with database.write() as session:
            session.add(
                ConfigChange(
                    project_id=project.id,
                    source="cli",
                    digest="d",
                    document={},
                    accepted=accepted,
                    message=message,
                    at=NOW,
                )
            )

    change(False, "window: too small")
    shown = project_overview(settings, database, project)["config_refusal"]
    assert "cli" in shown
    assert "window: too small" in shown
    change(True, None)
    assert project_overview(settings, database, project)["config_refusal"] is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"state": "paused"}, "paused"),
        ({"polls": True}, "SSRF_PROTECTION_ENABLED"),
        ({"queue_version": None}, "No queue is published"),
        ({"era": 0}, "hold-outs are not drawn"),
        ({"config": {"preannotate": "queue"}}, "confounded"),
        ({"config": {"explain_field": "asknext_reason"}}, "may be confounded"),
        ({"pause_reason": "The budget is spent."}, "tells the annotators"),
        ({"state": "paused", "pause_reason": "The budget is spent."}, "Raise `budget`"),
        ({"config": {"random_share": 0, "accept_no_control": True}}, "no random control"),
    ],
)
def test_what_an_admin_should_know_is_a_warning(settings, database, project, values, words):
    with database.write() as session:
        session.add(pick(project, 0, 1))
    before = project_overview(settings, database, project)["warnings"]
    assert not any(words in text for text in before)
    with database.write() as session:
        row = session.get_one(Project, project.id)
        for name, value in values.items():
            setattr(row, name, {**row.config, **value} if name == "config" else value)
    after = project_overview(settings, database, project)["warnings"]
    assert any(words in text for text in after)


def test_unreadable_tasks_and_an_empty_queue_are_warnings(settings, database, project):
    with database.write() as session:
        session.add(
            ContentFailure(
                project_id=project.id,
                task_id=5,
                content_hash=content(5),
                message="404",
                retry_at=NOW + 60,
            )
        )
    found = project_overview(settings, database, project)
    assert found["unreadable"] == 1
    assert any("cannot be read" in text for text in found["warnings"])
    assert any("queue is empty" in text for text in found["warnings"])


def test_every_project_is_there_and_the_document_is_json(settings, database, project):
    with database.write() as session:
        session.add(
            Project(
                label_studio_url="http://localhost:8080",
                label_studio_id=3,
                created_at=NOW,
                secret=b"s" * 32,
                state="archived",
            )
        )
    found = all_overviews(settings, database)
    assert [row["id"] for row in found] == [3, 7]
    assert json.loads(json.dumps(found)) == found
    assert project.secret.decode() not in json.dumps(found)
