"""Labels are derived from annotations, again and again, and each change counts once."""

import sqlalchemy as sa

from backend.rounds import mirror
from backend.rounds.labels import derive_labels
from backend.rounds.round import count_labelled
from backend.rounds.schema import apply_label_config
from backend.store.tables import Label, LabelChange, Project
from tests.backend.text_project import label_config


def label(project, task_id):
    with project.database.read() as session:
        return session.get(Label, (project.id, task_id))


def story(project, task_id):
    """(label, previous) of every change of a task's label, oldest first."""
    with project.database.read() as session:
        changes = session.scalars(
            sa.select(LabelChange)
            .where(LabelChange.project_id == project.id, LabelChange.task_id == task_id)
            .order_by(LabelChange.id)
        )
        return [(change.label, change.previous) for change in changes]


def labelled(project):
    with project.database.read() as session:
        return count_labelled(session, project.id)


def changes(project):
    return project.row().label_changes


def test_one_annotation_is_the_label(text_project):
    text_project.annotate(3, "cooking")
    found = label(text_project, 3)
    assert (found.label, found.status, found.votes, found.agreement) == (
        "cooking",
        "settled",
        1,
        None,
    )
    assert story(text_project, 3) == [("cooking", None)]
    assert (changes(text_project), labelled(text_project)) == (1, 1)


def test_the_majority_decides_and_agreement_is_recorded(text_project):
    for person, choice in enumerate(("cooking", "weather", "cooking")):
        text_project.annotate(3, choice, by=person)
    found = label(text_project, 3)
    assert (found.label, found.status, found.votes) == ("cooking", "settled", 3)
    assert found.agreement == 2 / 3


def test_a_tie_is_unsettled_until_another_annotation_settles_it(text_project):
    text_project.annotate(3, "cooking", by=1)
    text_project.annotate(3, "weather", by=2)
    tie = label(text_project, 3)
    assert (tie.label, tie.status, tie.votes) == (None, "tie", 2)
    assert labelled(text_project) == 0
    text_project.annotate(3, "weather", by=3)
    assert label(text_project, 3).label == "weather"
    assert story(text_project, 3) == [
        ("cooking", None),
        (None, "cooking"),
        ("weather", None),
    ]
    assert changes(text_project) == 3


def test_more_agreement_on_the_same_label_is_recorded_and_is_no_label_change(text_project):
    text_project.annotate(3, "cooking", by=1)
    text_project.annotate(3, "cooking", by=2)
    third = text_project.annotate(3, "weather", by=3)
    assert (label(text_project, 3).agreement, changes(text_project)) == (2 / 3, 1)
    text_project.edit(third, "cooking")
    assert (label(text_project, 3).agreement, changes(text_project)) == (1.0, 1)


def test_skips_and_empty_annotations_are_no_labels(text_project):
    text_project.annotate(3, "cooking", skipped=True)
    text_project.annotate(4, None)
    assert (changes(text_project), labelled(text_project)) == (0, 0)
    text_project.annotate(3, "cooking", by=2)
    assert (label(text_project, 3).votes, labelled(text_project)) == (1, 1)


def test_several_choices_in_one_annotation_are_no_single_label(text_project):
    with text_project.database.write() as session:
        result = [
            {
                "type": "choices",
                "from_name": "topic",
                "value": {"choices": ["cooking", "weather"]},
            }
        ]
        stamps = {"created_at": "2026-11-24T07:00:00Z", "updated_at": "2026-11-24T07:00:00Z"}
        task = {"id": 3, "annotations": [{"id": 1, "result": result, **stamps}]}
        mirror.write_annotations(text_project.database, session, text_project.id, [task])
        project = session.get_one(Project, text_project.id)
        assert derive_labels(text_project.database, session, project, {3}) == 0
    assert labelled(text_project) == 0


def test_an_edit_counts_as_one_change(text_project):
    number = text_project.annotate(3, "cooking")
    text_project.edit(number, "weather")
    assert label(text_project, 3).label == "weather"
    assert story(text_project, 3)[1:] == [("weather", "cooking")]
    assert (changes(text_project), labelled(text_project)) == (2, 1)


def test_an_edit_that_changes_no_label_counts_nothing(text_project):
    number = text_project.annotate(3, "cooking")
    text_project.edit(number, "cooking")
    assert changes(text_project) == 1


def test_a_deletion_counts_as_one_change_and_takes_the_label_away(text_project):
    number = text_project.annotate(3, "cooking")
    text_project.delete(number)
    assert (label(text_project, 3).label, label(text_project, 3).status) == (None, "none")
    assert story(text_project, 3)[1:] == [(None, "cooking")]
    assert (changes(text_project), labelled(text_project)) == (2, 0)


def test_deriving_again_changes_nothing(text_project):
    text_project.annotate_truly(range(1, 11))
    with text_project.database.write() as session:
        project = session.get_one(Project, text_project.id)
        assert derive_labels(text_project.database, session, project, None) == 0
    assert (changes(text_project), labelled(text_project)) == (10, 10)


def test_a_deleted_task_has_no_label(text_project):
    text_project.annotate_truly([3, 4])
    with text_project.database.write() as session:
        mirror.delete_tasks(session, text_project.id, [3])
        project = session.get_one(Project, text_project.id)
        assert derive_labels(text_project.database, session, project, {3}) == 1
    assert labelled(text_project) == 1


# ------------------------------------------------------------------ another labelling config


def follow(project, config):
    with project.database.write() as session:
        row = session.get_one(Project, project.id)
        apply_label_config(project.database, session, row, config)


def test_a_removed_class_makes_its_tasks_unlabelled_and_they_are_counted(text_project):
    text_project.annotate_truly(range(1, 10))  # three of each topic
    follow(text_project, label_config(("cooking", "football", "music")))
    row = text_project.row()
    assert (row.classes, row.schema_number) == (["cooking", "football", "music"], 2)
    assert (labelled(text_project), changes(text_project)) == (6, 9 + 3)
    assert label(text_project, 1).status == "none"
    assert story(text_project, 1) == [("weather", None), (None, "weather")]
    assert label(text_project, 2).label == "cooking"


def test_a_class_that_comes_back_brings_its_labels_back(text_project):
    text_project.annotate_truly(range(1, 10))
    follow(text_project, label_config(("cooking", "football")))
    follow(text_project, label_config())
    assert labelled(text_project) == 9
    assert text_project.row().schema_number == 3


def test_the_history_says_under_which_label_schema_a_change_happened(text_project):
    text_project.annotate(1, "weather")
    follow(text_project, label_config(("cooking", "football")))
    with text_project.database.read() as session:
        numbers = session.scalars(sa.select(LabelChange.schema_number).order_by(LabelChange.id))
        assert list(numbers) == [1, 2]


def test_a_config_that_asks_the_same_starts_no_schema(text_project):
    text_project.annotate_truly([1])
    follow(text_project, label_config().replace("<View>", "<View><Header value='Topic?'/>"))
    assert (text_project.row().schema_number, labelled(text_project)) == (1, 1)


def test_an_unusable_config_keeps_the_labels_and_says_what_is_wrong(text_project):
    text_project.annotate_truly([1, 2])
    follow(text_project, "<View><Text name='content' value='$text'/></View>")
    assert "Choices" in text_project.row().last_error
    assert labelled(text_project) == 2
    follow(text_project, label_config())
    assert labelled(text_project) == 2
