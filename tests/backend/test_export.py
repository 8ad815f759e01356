"""The export: every label with how it was chosen; refused where a test task trained."""

import json

import pytest

from backend.config import QueueConfig
from backend.errors import LeakError
from backend.export import check_for_leaks, exported
from backend.labelstudio import LabelStudio
from backend.rounds import mirror, queue
from backend.rounds.holdout import assign_late_tasks, draw_splits
from backend.rounds.window import Position
from backend.store.tables import Project, Round, Task, TrainingManifest
from tests.backend.text_project import LABEL_CONFIG, TASK_IDS, text_of, topic_of
from tests.backend.unreliable_labelstudio import PERSONAL_TOKEN, UnreliableLabelStudio


@pytest.fixture
def client():
    with UnreliableLabelStudio(LABEL_CONFIG) as server:
        for task_id in TASK_IDS:
            server.add_task(task_id, {"text": text_of(task_id), "site": "north"})
        for task_id in (1, 2, 3, 4, 5, 6):
            server.annotate(task_id, topic_of(task_id))
        with LabelStudio(server.url, PERSONAL_TOKEN, patience=0.0) as opened:
            yield opened


@pytest.fixture
def labelled(text_project):
    """Six labelled tasks: test, validation, control, a blind pick, a pick, an unplanned one."""
    text_project.hold_out(test=[1], validation=[2], control=[3])
    positions = [
        Position(0, "test", 1, "test"),
        Position(1, "validation", 2, "validation"),
        Position(2, "random", 3, "random", None, 1 / 58),
        Position(3, "strategy", 4, "margin", 0.5, rolling=True),
        Position(4, "strategy", 5, "random", None, None, {"inclusion_probability": 0.25}),
    ]
    with text_project.database.write() as session:
        project = session.get_one(Project, text_project.id)
        queue.stage(session, project, "v1", 1, list(enumerate(positions)))
        queue.put_in_force(text_project.database, session, project, "v1")
    text_project.annotate_truly([1, 2, 3, 4, 5, 6])
    text_project.annotate(1, topic_of(1), by=2)
    with text_project.database.write() as session:
        queue.resolve_answered(session, session.get_one(Project, text_project.id))
    return text_project


def rows(project, client):
    return {row["task"]: row for row in exported(project.context(), client)}


def test_a_near_copy_of_a_hold_out_is_no_training_data_for_anybody(labelled):
    cache = labelled.context().cache
    near = cache.get([mirror.content_hash(text_of(1))])[0] * 1.01
    with labelled.database.write() as session:
        row = session.get_one(Project, labelled.id)
        tasks = [{"id": 99, "data": {"text": "Nearly the first"}}]
        mirror.write_tasks(labelled.database, session, row, tasks)
        session.get_one(Task, (labelled.id, 99)).role_era = row.era
    cache.add([mirror.content_hash("Nearly the first")], near[None])
    labelled.annotate(99, topic_of(1))
    with UnreliableLabelStudio(LABEL_CONFIG) as server:
        for task_id in (5, 99):
            server.add_task(task_id, {"text": ""})
            server.annotate(task_id, "weather")
        with LabelStudio(server.url, PERSONAL_TOKEN, patience=0.0) as opened:
            found = rows(labelled, opened)
    assert {task: row["split"] for task, row in found.items()} == {5: "train", 99: "blocked"}


def test_every_annotated_task_comes_with_label_split_and_provenance(labelled, client):
    found = rows(labelled, client)
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    assert {task: row["split"] for task, row in found.items()} == {
        1: "test",
        2: "validation",
        3: "control",
        4: "rolling",
        5: "train",
        6: "train",
    }
    assert {task: row["role"] for task, row in found.items()} == {
        1: "test",
        2: "validation",
        3: "random",
        4: "strategy",
        5: "strategy",
        6: "unplanned",
    }
    assert {task: row["strategy"] for task, row in found.items() if row["strategy"]} == {
        4: "margin",
        5: "random",
    }
    assert [row["label"] for row in found.values()] == [topic_of(task) for task in found]
    assert found[1]["data"] == {"text": text_of(1), "site": "north"}
    assert found[1]["annotators"] == [1, 2]
    assert found[1]["agreement"] == 1.0
    assert (found[1]["era"], found[1]["manifest"]) == (1, "d" * 64)
    json.dumps(list(found.values()))


def test_what_chance_chose_has_its_probability(labelled, client):
    found = rows(labelled, client)
    assert found[3]["probability"] == 1 / 58
    assert found[5]["probability"] == 0.25
    assert found[4]["probability"] is None


def test_it_refuses_where_a_test_task_trained(labelled):
    check_for_leaks(labelled.database, labelled.row())
    with labelled.database.write() as session:
        drawn = labelled.row().holdout_drawn_at
        for number, at, members in ((1, drawn - 9, [[1, 0]]), (2, drawn + 9, [[5, 1], [1, 0]])):
            session.add(Round(project_id=labelled.id, number=number, started_at=at))
            session.flush()
            session.add(
                TrainingManifest(
                    project_id=labelled.id, round=number, members=members, digest="", created_at=at
                )
            )
    with pytest.raises(LeakError, match=r"Round 2 was trained on 1 tasks of the test set \(1\)"):
        check_for_leaks(labelled.database, labelled.row())


class TestStrata:
    """40 tasks of the north and 20 of the south: each with the chance of its own stratum."""

    @pytest.fixture
    def drawn(self, text_project):
        config = QueueConfig(
            encoder="static", strata=["site"], test_size=10, validation_size=5, budget=200
        )
        text_project.update(config=config.model_dump(mode="json"))
        self.write(text_project, TASK_IDS)
        with text_project.database.write() as session:
            project = session.get_one(Project, text_project.id)
            draw_splits(text_project.database, session, project)
        return text_project

    def write(self, project, task_ids):
        data = [{"id": n, "data": {"text": f"Text {n}", "site": self.site_of(n)}} for n in task_ids]
        with project.database.write() as session:
            row = session.get_one(Project, project.id)
            mirror.write_tasks(project.database, session, row, data)

    def site_of(self, task_id):
        return "south" if task_id % 3 == 0 else "north"

    def roles(self, project):
        with project.database.read() as session:
            return queue.roles(session, project.row())

    def exported(self, project, task_ids):
        with UnreliableLabelStudio(LABEL_CONFIG) as server:
            for task_id in task_ids:
                server.add_task(task_id, {"text": "", "site": self.site_of(task_id)})
                server.annotate(task_id, "weather")
            with LabelStudio(server.url, PERSONAL_TOKEN, patience=0.0) as client:
                return rows(project, client)

    def test_the_weights_of_a_stratum_s_members_count_its_tasks(self, drawn):
        found, members = self.exported(drawn, TASK_IDS), self.roles(drawn)
        sizes = {"north": 40, "south": 20}
        for site, size in sizes.items():
            mine = {
                role: [n for n, r in members.items() if r == role and self.site_of(n) == site]
                for role in ("test", "validation", "control")
            }
            for role in ("test", "validation"):
                chances = {found[n]["probability"] for n in mine[role]}
                assert chances == {len(mine[role]) / size}
            # The control is drawn from what the frozen sets leave.
            rest = size - len(mine["test"]) - len(mine["validation"])
            for task in mine["control"]:
                assert found[task]["probability"] == pytest.approx(len(mine["control"]) / rest)

    def test_late_members_have_the_chance_of_the_interval_that_they_fell_into(self, drawn):
        late = range(1_000, 1_600)
        self.write(drawn, late)
        with drawn.database.write() as session:
            project = session.get_one(Project, drawn.id)
            assign_late_tasks(drawn.database, session, project)
        members = {n: role for n, role in self.roles(drawn).items() if n in late}
        found = self.exported(drawn, members)
        assert {"test", "validation", "control"} <= set(members.values())
        for site, size in (("north", 400), ("south", 200)):
            for role in ("test", "validation"):
                mine = [n for n, r in members.items() if r == role and self.site_of(n) == site]
                (chance,) = {found[n]["probability"] for n in mine}
                spread = (size * chance * (1 - chance)) ** 0.5
                assert abs(len(mine) - size * chance) < 4.5 * spread
                assert 0 < chance < 0.1

    def test_a_named_set_was_chosen_by_nobody_s_chance(self, drawn):
        config = {**drawn.row().config, "test_set": {"tasks": [1, 2, 3]}}
        drawn.update(config=config, holdout_drawn_at=None)
        with drawn.database.write() as session:
            draw_splits(drawn.database, session, session.get_one(Project, drawn.id))
        found = self.exported(drawn, [1, 2, 3])
        assert [found[n]["probability"] for n in (1, 2, 3)] == [None, None, None]
