"""The state follows Label Studio: what was added, changed and deleted there, and nothing else."""

import sqlalchemy as sa

from backend.evaluation.holdout import permanent_random_number
from backend.rounds import mirror
from backend.store.tables import Annotation, Label, Project, Task
from tests.backend.text_project import text_of


def annotation(number, *, updated="2026-11-24T08:00:00Z", choices=("cooking",), **changes):
    return {
        "id": number,
        "completed_by": 1,
        "was_cancelled": False,
        "ground_truth": False,
        "lead_time": 2.5,
        "created_at": "2026-11-24T07:00:00Z",
        "updated_at": updated,
        "result": [{"type": "choices", "from_name": "topic", "value": {"choices": list(choices)}}],
        **changes,
    }


def write(project, task_id, *annotations):
    with project.database.write() as session:
        return mirror.write_annotations(
            project.database,
            session,
            project.id,
            [{"id": task_id, "annotations": list(annotations)}],
        )


def write_tasks(project, *tasks):
    with project.database.write() as session:
        row = session.get_one(Project, project.id)
        mirror.write_tasks(project.database, session, row, tasks)


def rows(project, table, **wanted):
    with project.database.read() as session:
        return list(session.scalars(sa.select(table).filter_by(project_id=project.id, **wanted)))


def test_an_annotation_is_stored_with_what_later_analyses_need(text_project):
    author = {"id": 12, "email": "a@example.org"}
    write(text_project, 3, annotation(1, completed_by=author, ground_truth=True))
    (row,) = rows(text_project, Annotation)
    assert (row.task_id, row.completed_by, row.ground_truth, row.cancelled) == (3, 12, True, False)
    assert (row.choices, row.lead_time) == ({"topic": ["cooking"]}, 2.5)


def test_only_annotations_that_changed_count_as_changes(text_project):
    assert write(text_project, 3, annotation(1)) == {3}
    assert write(text_project, 3, annotation(1)) == set()
    # Label Studio touches tasks for other reasons: the same moment means the same annotation.
    later = "2026-11-24T09:00:00Z"
    assert write(text_project, 3, annotation(1, updated=later, choices=("weather",))) == {3}
    (row,) = rows(text_project, Annotation)
    assert (row.choices, row.updated_at) == ({"topic": ["weather"]}, later)


def test_an_annotation_that_its_task_no_longer_holds_was_deleted(text_project):
    write(text_project, 3, annotation(1), annotation(2))
    write(text_project, 4, annotation(3))
    assert write(text_project, 3, annotation(2)) == {3}
    alive = {row.annotation_id for row in rows(text_project, Annotation, deleted_at=None)}
    assert alive == {2, 3}
    assert len(rows(text_project, Annotation)) == 3  # the record stays


def test_a_task_without_any_annotation_now_loses_those_that_it_had(text_project):
    write(text_project, 3, annotation(1))
    write(text_project, 4, annotation(2))
    with text_project.database.write() as session:
        touched = mirror.write_tasks_without_annotations(session, text_project.id, [3, 5])
    assert touched == {3}
    assert [r.annotation_id for r in rows(text_project, Annotation, deleted_at=None)] == [2]


def test_an_annotation_that_comes_back_lives_again(text_project):
    write(text_project, 3, annotation(1))
    write(text_project, 3)
    assert write(text_project, 3, annotation(1)) == {3}
    assert rows(text_project, Annotation)[0].deleted_at is None


def test_deleting_a_task_deletes_its_annotations_and_spares_the_others(text_project):
    write(text_project, 3, annotation(1))
    write(text_project, 4, annotation(2))
    with text_project.database.write() as session:
        mirror.delete_tasks(session, text_project.id, [3])
    with text_project.database.read() as session:
        live = mirror.live_task_ids(session, text_project.id)
    assert 3 not in live
    assert len(live) == 59
    assert [r.annotation_id for r in rows(text_project, Annotation, deleted_at=None)] == [2]


def test_a_task_seen_again_is_not_deleted(text_project):
    with text_project.database.write() as session:
        mirror.delete_tasks(session, text_project.id, [3])
    write_tasks(text_project, {"id": 3, "data": {"text": text_of(3)}})
    assert rows(text_project, Task, task_id=3)[0].deleted_at is None


def test_changed_content_is_another_content_and_keeps_the_tasks_random_number(text_project):
    (before,) = rows(text_project, Task, task_id=3)
    write_tasks(text_project, {"id": 3, "data": {"text": "Something else."}})
    (after,) = rows(text_project, Task, task_id=3)
    assert after.content_hash != before.content_hash
    assert after.content_hash == mirror.content_hash("Something else.")
    assert (after.value, after.u) == ("Something else.", before.u)


def test_the_random_number_depends_on_the_projects_secret_and_the_task_alone(text_project):
    project = text_project.row()
    assert rows(text_project, Task, task_id=3)[0].u == permanent_random_number(project.secret, "3")


def test_a_missing_or_empty_field_has_no_content():
    for data in ({}, {"text": None}, {"text": ""}, {"other": "x"}):
        assert mirror.task_value(data, "text") == mirror.TaskValue(None, None)
    assert mirror.task_value({"text": "x"}, None) == mirror.TaskValue(None, None)


def test_equal_content_has_one_hash_whatever_the_order_of_keys():
    one = mirror.task_value({"text": {"a": 1, "b": "ñ"}}, "text")
    other = mirror.task_value({"text": {"b": "ñ", "a": 1}}, "text")
    assert one == other
    assert len(one.content_hash) == 16


def test_half_a_surrogate_pair_is_stored_as_text_that_every_part_takes(text_project):
    write_tasks(text_project, {"id": 61, "data": {"text": "broken \ud83d sign"}})
    (row,) = rows(text_project, Task, task_id=61)
    row.value.encode("utf-8")
    assert row.content_hash == mirror.content_hash(row.value)


def test_more_tasks_than_a_statement_holds_are_all_stored(text_project):
    write_tasks(
        text_project, *({"id": 100 + n, "data": {"text": f"text {n}"}} for n in range(1500))
    )
    with text_project.database.read() as session:
        assert len(mirror.live_task_ids(session, text_project.id)) == 60 + 1500


def test_another_field_means_that_every_content_is_read_again(text_project):
    text_project.annotate(3, "cooking")
    with text_project.database.write() as session:
        mirror.rehash_tasks(session, text_project.id)
    with text_project.database.read() as session:
        assert mirror.read_task_ids(session, text_project.id) == set()
        assert len(mirror.live_task_ids(session, text_project.id)) == 60
    assert len(rows(text_project, Label)) == 1
