"""The hold-outs as an admin sees them: frozen, sealed, and given up only in words."""

from dataclasses import asdict

import pytest
import sqlalchemy as sa

from backend.config import QueueConfig
from backend.errors import RequestError
from backend.evaluation.skip_bounds import skip_bounds
from backend.holdouts import manifest, open_test_curve, start_new_era
from backend.overview import project_overview
from backend.rounds import mirror, queue
from backend.rounds.evaluation_plan import evaluation_plan
from backend.rounds.holdout import draw_splits
from backend.rounds.looks_taken import looks_before, planned_looks
from backend.rounds.second_opinions import asked_twice
from backend.rounds.train import training_tasks
from backend.store.evaluation_tables import HoldoutEra, SplitMember
from backend.store.tables import Event, HandRule, HandRuleTask, Project, Round, Task
from tests.backend.text_project import TASK_IDS, topic_of


@pytest.fixture
def drawn(text_project):
    """The text project with drawn hold-outs and one measured round."""
    config = QueueConfig(encoder="static", test_size=10, validation_size=5, budget=200)
    text_project.update(config=config.model_dump(mode="json"))
    draw(text_project)
    with text_project.database.write() as session:
        session.add(
            Round(
                project_id=text_project.id,
                number=1,
                state="done",
                labelled=30,
                trained_on=20,
                started_at=text_project.row().holdout_drawn_at + 1.0,
                metrics={
                    "test": {"accuracy": 0.6125, "macro_f1": 0.6, "labelled": 10},
                    "validation": {"accuracy": 0.8, "macro_f1": 0.75, "labelled": 5},
                },
            )
        )
    return text_project


def draw(project):
    with project.database.write() as session:
        draw_splits(project.database, session, session.get_one(Project, project.id))


def overview(project):
    return project_overview(project.settings, project.database, project.row())


def test_what_the_test_set_says_is_in_no_overview(drawn):
    found = overview(drawn)
    assert found["rounds"][0]["metrics"]["test"] == {"labelled": 10, "sealed": True}
    assert found["rounds"][0]["metrics"]["validation"]["accuracy"] == 0.8
    assert "0.6125" not in str(found["rounds"])


def test_skips_of_the_sealed_test_set_are_warned_of_without_what_it_says(drawn):
    with drawn.database.write() as session:
        row = session.get_one(Round, (drawn.id, 1))
        skips = asdict(skip_bounds(49, 31, 20))
        row.metrics = {
            "test": {**row.metrics["test"], "skips": skips, "beyond_prefix": 3},
            "validation": {**row.metrics["validation"], "skips": asdict(skip_bounds(4, 1, 1))},
        }
    found = overview(drawn)
    assert found["rounds"][0]["metrics"]["test"] == {
        "labelled": 10,
        "sealed": True,
        "skips": {"asked": 100, "skipped": 20},
        "beyond_prefix": 3,
    }
    warned = [text for text in found["warnings"] if "skipped" in text]
    assert warned[0].startswith("Validation set (a): 1 of 6 random tasks were skipped or are in")
    assert warned[1].startswith("Test set: 20 of 100 tasks were skipped or are in dispute; ")
    assert "49" not in warned[1]


def test_opening_the_curve_shows_it_and_counts_the_looks(drawn):
    first = open_test_curve(drawn.database, drawn.row())
    assert [record["test"]["accuracy"] for record in first["rounds"]] == [0.6125]
    assert first["looks"] == 1
    assert open_test_curve(drawn.database, drawn.row())["looks"] == 2
    assert overview(drawn)["holdout"]["looks"] == 2
    with drawn.database.read() as session:
        messages = session.scalars(sa.select(Event.message))
        assert any("look 2" in message for message in messages)


def test_the_manifests_hash_is_shown_and_a_state_edited_by_hand_is_told(drawn):
    found = overview(drawn)
    assert found["holdout"]["digest"] == manifest(drawn.database, drawn.row())["digest"]
    assert found["holdout"]["intact"]
    with drawn.database.write() as session:
        era = session.get_one(HoldoutEra, (drawn.id, 1))
        era.manifest = era.manifest[1:]
    found = overview(drawn)
    assert not found["holdout"]["intact"]
    assert any("does not fit its hash" in warning for warning in found["warnings"])


def test_members_that_changed_in_label_studio_are_counted(drawn):
    members = manifest(drawn.database, drawn.row())["members"]
    with drawn.database.write() as session:
        mirror.delete_tasks(session, drawn.id, [members[0]["task"]])
        mirror.write_tasks(
            drawn.database,
            session,
            session.get_one(Project, drawn.id),
            [{"id": members[1]["task"], "data": {"text": "Something else."}}],
        )
    found = overview(drawn)
    assert found["holdout"]["changed"] == {"deleted": 1, "content": 1, "excluded": 0}
    assert any("1 tasks were deleted, 1 have other content" in w for w in found["warnings"])


def test_members_that_somebody_excludes_unlabelled_are_told_of(drawn):
    """It is the hard ones that nobody wants in the figure."""
    members = [member["task"] for member in manifest(drawn.database, drawn.row())["members"]]
    drawn.annotate_truly(members[:1])
    with drawn.database.write() as session:
        session.add(
            HandRule(
                project_id=drawn.id, view_id=1, kind="exclude", title="", digest="", read_at=0.0
            )
        )
        session.flush()
        for task in members[:2]:
            session.add(HandRuleTask(project_id=drawn.id, view_id=1, task_id=task))
    found = overview(drawn)
    assert found["holdout"]["changed"]["excluded"] == 1
    assert any("1 without a label are excluded by hand" in w for w in found["warnings"])


def test_settings_that_decided_the_draw_are_told_of_when_they_change(drawn):
    assert overview(drawn)["holdout"]["outdated"] == []
    config = {**drawn.row().config, "group_by": "patient", "test_size": 3, "window": 50}
    drawn.update(config=config)
    found = overview(drawn)
    assert found["holdout"]["outdated"] == ["group_by", "test_size"]
    assert any(
        "`group_by`, `test_size` changed after the hold-outs" in w for w in found["warnings"]
    )


def test_the_half_width_that_the_test_set_gives_is_shown(drawn):
    found = overview(drawn)["holdout"]["precision"]
    assert found["size"] == 10
    assert found["half_width"] == pytest.approx(1.96 * (0.25 / 10) ** 0.5, abs=1e-4)
    assert manifest(drawn.database, drawn.row())["precision"] == found


def test_a_new_era_releases_the_old_members_and_has_another_hash(drawn):
    old = manifest(drawn.database, drawn.row())
    test = [member["task"] for member in old["members"] if member["role"] == "test"]
    drawn.annotate_truly(test)
    assert not set(test) & set(training_tasks(drawn.context(), 2).task_ids)
    assert start_new_era(drawn.database, drawn.row()) == 2
    with pytest.raises(RequestError, match="not drawn yet"):
        manifest(drawn.database, drawn.row())
    draw(drawn)
    new = manifest(drawn.database, drawn.row())
    assert (new["era"], new["digest"] != old["digest"]) == (2, True)
    now_held = {member["task"] for member in new["members"]}
    trains = set(training_tasks(drawn.context(), 2).task_ids)
    assert not trains & now_held


def test_the_ledger_tells_what_measuring_costs(drawn):
    test = [m["task"] for m in manifest(drawn.database, drawn.row())["members"]][:4]
    drawn.annotate_truly(test)
    # Labels from before the project was connected are not paid from its budget.
    ledger = overview(drawn)["ledger"]
    assert (ledger["labels"], ledger["planned"]) == (0, 6 + 5 + 20)
    drawn.update(created_at=0.0)
    ledger = overview(drawn)["ledger"]
    assert ledger["labels"] == 4
    assert (ledger["planned"], ledger["planned_share"]) == (10 + 5 + 20, 35 / 200)
    assert ledger["cap"] == 0.3
    assert ledger["spent"] == {"test": 4, "validation": 0, "control": 0, "second_opinions": 0}


def test_the_ledger_counts_what_a_second_person_is_asked(drawn):
    test = [m["task"] for m in manifest(drawn.database, drawn.row())["members"]][:4]
    drawn.update(created_at=0.0)
    drawn.annotate_truly(test)
    for task in test[:3]:
        drawn.annotate(task, topic_of(task), by=2)
    ledger = overview(drawn)["ledger"]
    assert ledger["spent"]["second_opinions"] == 3
    assert ledger["labels"] == 7
    with drawn.database.read() as session:
        again = len(asked_twice(session, drawn.row()))
    assert again >= 10
    assert ledger["planned"] == 10 + 5 + 20 + again
    drawn.update(overlap=2)
    assert overview(drawn)["ledger"]["planned"] == 2 * (10 + 5) + 20


def test_late_tasks_of_the_validation_set_are_held_out_and_not_asked_about(drawn):
    """It is frozen: a figure over it and what came later would be of another set each round."""
    before = overview(drawn)["holdout"]["validation"]
    with drawn.database.write() as session:
        session.add(
            SplitMember(
                project_id=drawn.id,
                era=1,
                task_id=next(n for n in TASK_IDS if n not in queue.roles(session, drawn.row())),
                role="validation",
                u=0.5,
                late=True,
                drawn_at=4e9,
            )
        )
    found = overview(drawn)
    assert found["holdout"]["validation"] == before
    assert found["holdout"]["late"] == 1
    assert found["ledger"]["not_asked"] == 0
    with drawn.database.read() as session:
        stock = queue.stock(session, drawn.row())
        (late,) = session.scalars(sa.select(SplitMember.task_id).where(SplitMember.late))
    assert late not in {task for task, _ in stock.holdouts} | stock.others


def test_a_smaller_budget_asks_about_fewer_hold_outs_and_says_so(drawn):
    """Who is held out stays; the cap decides how many of them are labelled, in order of chance."""
    with drawn.database.read() as session:
        before = queue.stock(session, drawn.row()).holdouts
    drawn.update(config={**drawn.row().config, "budget": 40})  # 12 for evaluation, 4 of them random
    found = overview(drawn)
    assert found["ledger"]["planned"] == 12
    assert found["ledger"]["not_asked"] == 7
    assert any("7 hold-out tasks are not asked about" in w for w in found["warnings"])
    with drawn.database.read() as session:
        assert queue.stock(session, drawn.row()).holdouts == before[:8]


def test_the_cap_asks_about_whole_groups_alone(drawn):
    """Labels of a part of a patient would measure nothing: a prefix counts whole groups."""
    with drawn.database.write() as session:
        session.get_one(HoldoutEra, (drawn.id, 1)).group_by = "patient"
        test = [m.task_id for m in session.scalars(sa.select(SplitMember)) if m.role == "test"]
        for place, task in enumerate(test):  # patients of four slices
            member = session.get_one(SplitMember, (drawn.id, 1, task))
            member.u = place // 4 / 100
    drawn.update(config={**drawn.row().config, "budget": 70, "evaluation_cap": 0.2})
    with drawn.database.read() as session:
        plan = evaluation_plan(session, drawn.row())
    # Seven labels beside the random share: a patient of four and, in turn, one of (a), then two.
    assert plan.test_groups == [4]
    assert sum(role == "validation" for _, role in plan.asked) == 3


def test_a_named_test_set_takes_no_more_than_a_fifth_of_the_budget(drawn):
    with drawn.database.write() as session:
        for task in range(1, 61):
            row = session.get_one(Task, (drawn.id, task))
            session.merge(
                SplitMember(
                    project_id=drawn.id, era=1, task_id=task, role="test", u=row.u, drawn_at=1.0
                )
            )
    drawn.update(config={**drawn.row().config, "budget": 100, "evaluation_cap": 0.9})
    found = overview(drawn)
    assert found["ledger"]["not_asked"] == 40
    # What is shown is what those that are asked about give.
    assert found["holdout"]["precision"]["size"] == 20


def test_what_is_labelled_beyond_the_cap_is_a_warning(drawn):
    drawn.update(created_at=0.0)
    test = [m["task"] for m in manifest(drawn.database, drawn.row())["members"]][:10]
    drawn.annotate_truly(test)
    for task in test:
        drawn.annotate(task, topic_of(task), by=2)
    assert not any("is planned to take" in w for w in overview(drawn)["warnings"])
    drawn.update(config={**drawn.row().config, "budget": 40})
    assert any("is planned to take 55% of the budget" in w for w in overview(drawn)["warnings"])


def test_a_new_era_forgives_no_look(drawn):
    """Whoever draws anew after each look would find by chance what is not there."""
    harm = {"look": 2, "looks_planned": 5, "strategy": "'auto'", "lift": {"verdict": "below"}}
    with drawn.database.write() as session:
        era = session.get_one(HoldoutEra, (drawn.id, 1))
        looks = {"at": [20, 40, 80, 160, 320], "alphas": [0.01] * 5, "alpha": 0.05, "taken": 2}
        era.reports = {**era.reports, "looks": looks, "comparisons": [harm]}
    start_new_era(drawn.database, drawn.row())
    draw(drawn)
    with drawn.database.read() as session:
        reports = session.get_one(HoldoutEra, (drawn.id, 2)).reports
    assert reports["comparisons"] == [harm]
    plan = planned_looks(reports, 100)
    assert plan.at == (20, 40, 80)
    assert plan.alphas == pytest.approx([0.01] * 3)
    spent = {**reports, "looks": {**asdict(plan), "taken": 3}}
    assert planned_looks(looks_before(spent), 100) is None


class TestOverHttp:
    """The API says the same."""

    def test_show_open_and_reset(self, client, drawn):
        base = f"/api/projects/{drawn.label_studio_id}/holdout"
        shown = client.get(base).json()
        assert len(shown["members"]) == 15
        opened = client.post(f"{base}/open").json()
        assert (opened["looks"], opened["digest"]) == (1, shown["digest"])
        answer = client.post(f"{base}/reset")
        assert (answer.status_code, answer.json()) == (202, {"era": 2})
        assert client.get(base).status_code == 409
