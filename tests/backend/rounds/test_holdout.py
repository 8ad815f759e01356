"""Drawing the hold-outs: one rule for early and late tasks, whole groups, a frozen manifest."""

import hashlib
from dataclasses import replace

import pytest
import sqlalchemy as sa

from backend.config import QueueConfig, parse_config
from backend.errors import ConfigurationError
from backend.evaluation.holdout import permanent_random_number
from backend.evaluation.representativeness import representativeness
from backend.rounds import holdout, mirror, queue
from backend.rounds.holdout import assign_late_tasks, draw_splits, manifest_digest
from backend.rounds.named_test_set import named_test_set
from backend.rounds.numbering import current_era
from backend.store.evaluation_tables import SplitMember
from backend.store.tables import Event, Project, Task


@pytest.fixture
def patients(text_project):
    """20 patients with 3 tasks each, of two scanners; 200 tasks can be paid for."""

    def write(task_ids, patient=lambda n: f"p{(n - 1) // 3}"):
        with text_project.database.write() as session:
            mirror.write_tasks(
                text_project.database,
                session,
                session.get_one(Project, text_project.id),
                [
                    {
                        "id": n,
                        "data": {
                            "text": f"Slice {n}",
                            "patient": patient(n),
                            "scanner": "rare" if (n - 1) // 3 % 5 == 0 else "common",
                        },
                    }
                    for n in task_ids
                ],
            )

    def configure(**changes):
        config = QueueConfig(
            encoder="static",
            **{"group_by": "patient", "test_size": 12, "validation_size": 6, **changes},
        )
        text_project.update(config=config.model_dump(mode="json"))

    configure()
    write(range(1, 61))
    text_project.write, text_project.configure = write, configure
    return text_project


def draw(project):
    with project.database.write() as session:
        draw_splits(project.database, session, session.get_one(Project, project.id))


def roles(project):
    with project.database.read() as session:
        return queue.roles(session, project.row())


def era(project):
    with project.database.read() as session:
        return current_era(session, project.row())


def patient_of(task_id):
    return (task_id - 1) // 3


def test_patients_are_never_split(patients):
    draw(patients)
    found = roles(patients)
    assert [list(found.values()).count(role) for role in ("test", "validation", "control")] == [
        12,
        6,
        15,
    ]
    for patient in range(20):
        assert len({found.get(task) for task in range(1, 61) if patient_of(task) == patient}) == 1


def test_strata_are_held_out_in_proportion(patients):
    patients.configure(strata=["scanner"], test_size=15, validation_size=15)
    draw(patients)
    found = roles(patients)
    test = [task for task, role in found.items() if role == "test"]
    assert len([task for task in test if patient_of(task) % 5 == 0]) == 3
    assert set(era(patients).intervals) == {"scanner = rare", "scanner = common"}


def test_strata_that_split_too_finely_are_refused(patients, monkeypatch):
    """A patient's number is a name, and of one group nothing can be held out in proportion."""
    patients.configure(strata=["patient"])
    with pytest.raises(ConfigurationError, match=r"strata: patient splits 20 groups into 20 str"):
        draw(patients)
    assert patients.row().era == 0
    monkeypatch.setattr(holdout, "MOST_STRATA", 1)
    patients.configure(strata=["scanner"])
    with pytest.raises(ConfigurationError, match="There may be 1 strata"):
        draw(patients)


@pytest.mark.parametrize("misspelt", [{"group_by": "pateint"}, {"strata": ["scanner", "text"]}])
def test_a_field_that_no_task_has_is_refused(patients, misspelt):
    """Split by tasks, a patient would stand on both sides."""
    patients.configure(**misspelt)
    (setting,) = misspelt
    with pytest.raises(
        ConfigurationError, match=rf"{setting}: No task has .*; there is patient, scanner\."
    ):
        draw(patients)
    assert patients.row().era == 0


def test_tasks_without_a_group_are_drawn_alone_and_told_of(patients):
    with patients.database.write() as session:
        row = session.get_one(Project, patients.id)
        tasks = [{"id": n, "data": {"text": f"Alone {n}"}} for n in range(100, 107)]
        mirror.write_tasks(patients.database, session, row, tasks)
    draw(patients)
    with patients.database.read() as session:
        told = session.scalars(sa.select(Event.message).where(Event.message.contains("Drew"))).one()
    assert told.endswith(" 7 tasks have no patient: each is drawn alone.")


def test_late_tasks_fall_into_a_role_by_the_same_rule(patients):
    draw(patients)
    before = roles(patients)
    # 100 new patients, and a fourth slice of every known one.
    patients.write(range(1001, 1301), patient=lambda n: f"late {(n - 1001) // 3}")
    patients.write(range(2000, 2020), patient=lambda n: f"p{n - 2000}")
    with patients.database.write() as session:
        project = session.get_one(Project, patients.id)
        count = assign_late_tasks(patients.database, session, project)
        assert assign_late_tasks(patients.database, session, project) == 0
    now = roles(patients)
    assert len(now) - len(before) == count
    assert {task: role for task, role in now.items() if task <= 60} == before
    for patient in range(20):
        assert now.get(2000 + patient) == before.get(3 * patient + 1)
    late = [role for task, role in now.items() if 1000 < task < 1301]
    # No more than a pool of 360 would have given, by whole patients (4.5 sigma of 100 draws).
    for role, share in (("test", 12 / 360), ("validation", 6 / 360), ("control", 0.25)):
        spread = 3 * (100 * share * (1 - share)) ** 0.5
        assert abs(late.count(role) - 300 * share) < 4.5 * spread
    with patients.database.read() as session:
        marked = session.scalars(sa.select(SplitMember).where(SplitMember.late))
        assert {member.task_id for member in marked} == now.keys() - before.keys()


def test_the_manifest_is_frozen_and_hashed(patients):
    draw(patients)
    drawn = era(patients)
    assert drawn.digest == manifest_digest(drawn)
    found = roles(patients)
    frozen = {task for task, role in found.items() if role != "control"}
    assert {member[0] for member in drawn.manifest} == frozen
    text = {n: mirror.content_hash(f"Slice {n}").hex() for n in frozen}
    assert all(member[2] == text[member[0]] for member in drawn.manifest)
    patients.write(range(1001, 1101), patient=str)
    with patients.database.write() as session:
        assign_late_tasks(patients.database, session, session.get_one(Project, patients.id))
    assert era(patients).digest == drawn.digest
    assert len(era(patients).manifest) == len(drawn.manifest)
    drawn.manifest[0][0] += 1
    assert drawn.digest != manifest_digest(drawn)


def test_a_group_by_that_changes_after_the_draw_changes_no_member(patients):
    draw(patients)
    before = roles(patients)
    numbers = _numbers(patients)
    patients.configure(group_by=None)
    patients.write(range(1, 61))  # read again from Label Studio
    with patients.database.write() as session:
        assign_late_tasks(patients.database, session, session.get_one(Project, patients.id))
    assert roles(patients) == before
    assert _numbers(patients) == numbers


def test_the_queue_serves_holdouts_and_control_by_number(patients):
    draw(patients)
    with patients.database.read() as session:
        stock = queue.stock(session, patients.row())
    numbers = _numbers(patients)
    control = [numbers[task] for task, _ in stock.control]
    assert control == sorted(control)
    assert {probability for _, probability in stock.control} == {15 / 42}
    assert not stock.others & roles(patients).keys()


def test_the_draw_says_whether_it_represents_the_pool(patients):
    draw(patients)
    found = era(patients).reports["representativeness"]
    assert found["differences"][0]["name"].startswith("scanner")
    assert found["largest"] <= found["limit"]
    assert "so it represents the pool" in found["text"]


def test_a_draw_unlike_the_pool_is_made_again_by_another_secret(patients, monkeypatch):
    asked = []

    def strict(*arguments, **options):
        found = representativeness(*arguments, **options)
        asked.append(found)
        # As if the first two were among the 5% of draws that are less like the pool.
        return replace(found, limit=-1.0) if len(asked) < 3 else found

    monkeypatch.setattr(holdout, "representativeness", strict)
    draw(patients)
    assert len(asked) >= 3
    drawn = era(patients)
    assert drawn.reports["representativeness"]["redraws"] == len(asked) - 1
    assert drawn.secret != patients.row().secret
    numbers = _numbers(patients)
    for member in drawn.manifest:
        key = f"group p{patient_of(member[0])}"
        assert permanent_random_number(drawn.secret, key) == member[3] == numbers[member[0]]


class TestNamedTestSet:
    """A test set that is there already; only validation (a) and the control are drawn."""

    def test_by_task_ids(self, patients):
        patients.configure(test_set={"tasks": [1, 2, 3, 58, 999]})
        draw(patients)
        found = roles(patients)
        assert {task for task, role in found.items() if role == "test"} == {1, 2, 3, 58}
        # The rest of a named task's patient is in no other part.
        assert 59 not in found
        assert 60 not in found
        assert list(found.values()).count("validation") == 6

    def test_by_a_field(self, patients):
        patients.configure(test_set={"field": "scanner", "value": "rare"})
        draw(patients)
        found = roles(patients)
        test = {task for task, role in found.items() if role == "test"}
        assert test == {task for task in range(1, 61) if patient_of(task) % 5 == 0}

    def test_by_ground_truth(self, patients):
        number = patients.annotate(7, "weather", sync=False)
        patients._annotations[7][0]["ground_truth"] = True
        patients.sync([7])
        assert number
        patients.configure(test_set={"ground_truth": True})
        draw(patients)
        assert [task for task, role in roles(patients).items() if role == "test"] == [7]

    def test_what_comes_later_with_the_value_is_of_the_test_set_too(self, patients):
        """By the value that names it, whatever the configuration says by then."""
        patients.configure(test_set={"field": "scanner", "value": "rare"})
        draw(patients)
        before = roles(patients)
        patients.configure(test_set=None)
        patients.write(range(301, 361), patient=lambda n: f"late {n}")
        with patients.database.write() as session:
            assign_late_tasks(patients.database, session, session.get_one(Project, patients.id))
        now = roles(patients)
        rare = {n for n in range(301, 361) if (n - 1) // 3 % 5 == 0}
        test = {task for task, role in now.items() if role == "test"}
        assert test - before.keys() == rare
        with patients.database.read() as session:
            marked = session.scalars(sa.select(SplitMember).where(SplitMember.late))
            assert rare <= {member.task_id for member in marked}

    def test_later_slices_of_a_named_patient_are_in_no_set_as_the_earlier_are(self, patients):
        patients.configure(test_set={"tasks": [1]})
        draw(patients)
        patients.write([301, 302], patient=lambda _: "p0")  # task 1 is the patient's oldest
        with patients.database.write() as session:
            assign_late_tasks(patients.database, session, session.get_one(Project, patients.id))
        assert not {2, 3, 301, 302} & roles(patients).keys()

    def test_where_the_draw_kept_no_record_the_configuration_says_how_it_was_named(self, patients):
        patients.configure(test_set={"field": "scanner", "value": "rare"})
        draw(patients)
        with patients.database.write() as session:
            found = session.merge(era(patients))
            found.reports = {k: v for k, v in found.reports.items() if k != "asked_for"}
        with patients.database.read() as session:
            assert named_test_set(session, patients.row()).value == "rare"

    @pytest.mark.parametrize(
        ("named", "message"),
        [
            ({"tasks": [777, 999]}, "test_set.tasks: none of the 2 ids is a task"),
            ({"field": "scanner", "value": "none"}, "test_set.field: no task has scanner = none"),
            ({"ground_truth": True}, "test_set.ground_truth: no task has an annotation"),
        ],
    )
    def test_a_set_without_a_task_is_not_frozen(self, patients, named, message):
        patients.configure(test_set=named)
        with pytest.raises(ConfigurationError, match=message):
            draw(patients)
        assert patients.row().era == 0
        assert roles(patients) == {}

    @pytest.mark.parametrize(
        "wrong",
        [{}, {"tasks": []}, {"field": "a"}, {"tasks": [1], "ground_truth": True}, {"value": 1}],
    )
    def test_what_names_nothing_or_twice_is_refused(self, wrong):
        with pytest.raises(ConfigurationError, match="test_set"):
            parse_config({"test_set": wrong})


def _numbers(project):
    with project.database.read() as session:
        rows = session.execute(sa.select(Task.task_id, Task.u))
        return {row.task_id: row.u for row in rows}


def test_the_secret_itself_is_not_in_the_manifest(patients):
    draw(patients)
    drawn = era(patients)
    assert hashlib.sha256(drawn.secret).hexdigest() not in str(drawn.manifest)
    assert drawn.secret.hex() not in str(drawn.manifest)
