"""Ranking: from the state, the embeddings and the model to the strategy's choices."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

import strategies
from backend.config import QueueConfig
from backend.rounds import mirror
from backend.rounds.embed import embed
from backend.rounds.labels import derive_labels
from backend.rounds.mirror import content_hash
from backend.rounds.rank import Ranker
from backend.rounds.schema import apply_label_config
from backend.store.tables import ContentFailure, HandRule, HandRuleTask, Project
from tests.backend.text_project import TASK_IDS, label_config, text_of, topic_of


def configure(project, **config):
    full = QueueConfig(**{"encoder": "static", "strategy": "margin", **config})
    project.update(config=full.model_dump(mode="json"))


def ranker(project, round_number=1, seed_offset=0):
    context = project.context()
    return Ranker(context, context.live_model(), round_number, seed_offset)


def ids(choices):
    return [choice.task_id for choice in choices]


def test_a_choice_carries_its_branch_and_its_score_best_first(trained):
    choices = ranker(trained).choose(10, frozenset())
    assert len(choices) == 10
    assert {choice.branch for choice in choices} == {"margin"}
    scores = [choice.score for choice in choices]
    assert scores == sorted(scores, reverse=True)


def test_the_order_is_that_of_the_strategy_on_the_open_pool(trained):
    """The same numbers, put through the public strategy by hand."""
    context = trained.context()
    open_tasks = [task_id for task_id in TASK_IDS if task_id > 30]
    probabilities = context.live_model().probabilities(
        context.cache.get([content_hash(text_of(task_id)) for task_id in open_tasks])
    )
    pool = strategies.Pool(probabilities=probabilities)
    best = strategies.select("margin", pool, 10, np.random.default_rng(0))
    assert ids(ranker(trained).choose(10, frozenset())) == [open_tasks[i] for i in best]


def test_what_is_answered_held_out_unreadable_deleted_or_taken_is_never_chosen(trained):
    trained.hold_out(test=[31], validation=[32])
    trained.annotate(33, None, skipped=True)
    with trained.database.write() as session:
        mirror.delete_tasks(session, trained.id, [34])
        session.add(
            ContentFailure(
                project_id=trained.id,
                task_id=35,
                content_hash=b"x" * 16,
                message="unreadable",
                retry_at=time.time() + 60,
            )
        )
    chosen = ids(ranker(trained).choose(1000, frozenset({36, 37})))
    assert sorted(chosen) == list(range(38, 61))


def test_without_a_model_a_strategy_that_needs_one_chooses_at_random_and_says_so(text_project):
    without = ranker(text_project)
    first = ids(without.choose(20, frozenset()))
    assert "needs a model" in without.note
    assert len(set(first)) == 20
    assert first != sorted(first)


def test_with_a_model_there_is_nothing_to_say(trained):
    with_model = ranker(trained)
    with_model.choose(5, frozenset())
    assert with_model.note is None


def test_a_strategy_that_needs_no_model_ranks_from_the_first_day(text_project):
    configure(text_project, strategy="k_center")
    choosing = ranker(text_project)
    choices = choosing.choose(3, frozenset())
    assert choosing.note is None
    assert {choice.branch for choice in choices} == {"k_center"}
    # Three centres of three topics: diversity finds them without a label.
    assert len({topic_of(task_id) for task_id in ids(choices)}) >= 2


def test_a_branch_of_a_mix_is_named(trained):
    configure(
        trained,
        strategy={"mix": [{"share": 0.5, "of": "entropy"}, {"share": 0.5, "of": "random"}]},
    )
    choices = ranker(trained).choose(20, frozenset())
    branches = [choice.branch for choice in choices]
    assert sum("entropy" in branch for branch in branches) == 10
    assert sum("random" in branch for branch in branches) == 10
    assert len(set(ids(choices))) == 20


def test_the_same_round_chooses_the_same_again_and_the_seed_changes_it(text_project):
    configure(text_project, strategy="random", seed=1)
    first = ids(ranker(text_project).choose(20, frozenset()))
    assert ids(ranker(text_project).choose(20, frozenset())) == first
    assert ids(ranker(text_project, round_number=2).choose(20, frozenset())) != first
    assert ids(ranker(text_project, seed_offset=50).choose(20, frozenset())) != first
    configure(text_project, strategy="random", seed=2)
    assert ids(ranker(text_project).choose(20, frozenset())) != first


@pytest.fixture
def growing(trained):
    """The trained project, to which 40 tasks came that are not embedded yet."""
    with trained.database.write() as session:
        project = session.get_one(Project, trained.id)
        mirror.write_tasks(
            trained.database,
            session,
            project,
            [{"id": 100 + n, "data": {"text": f"A new text, {n}."}} for n in range(40)],
        )
    return trained


def test_what_is_embedded_is_ranked_first_and_the_rest_of_the_window_is_random(growing):
    choosing = ranker(growing)
    choices = choosing.choose(50, frozenset())
    ranked, rest = choices[:30], choices[30:]
    assert sorted(ids(ranked)) == list(range(31, 61))
    assert all(choice.task_id >= 100 and choice.score is None for choice in rest)
    assert len(set(ids(rest))) == 20
    assert all("not embedded" in choice.branch for choice in rest)
    assert "still being embedded" in choosing.note


def test_a_window_that_the_embedded_tasks_fill_holds_no_other(growing):
    choosing = ranker(growing)
    assert all(task_id <= 60 for task_id in ids(choosing.choose(30, frozenset())))
    assert choosing.note is None


def test_random_choice_needs_no_embedding(growing):
    configure(growing, strategy="random")
    choosing = ranker(growing)
    chosen = ids(choosing.choose(70, frozenset()))
    assert sorted(chosen) == [*range(31, 61), *range(100, 140)]
    assert any(task_id >= 100 for task_id in chosen[:30])
    assert choosing.note is None


def test_an_exhausted_pool_gives_what_it_has(trained):
    trained.annotate_truly(range(31, 59))
    assert sorted(ids(ranker(trained).choose(10, frozenset()))) == [59, 60]
    trained.annotate_truly([59, 60])
    assert ranker(trained).choose(10, frozenset()) == []
    assert ranker(trained).choose(0, frozenset()) == []


def test_the_labels_to_show_are_the_models_own(trained):
    shown = ranker(trained).labels_of([40, 41, 42, 999])
    assert shown == {task_id: topic_of(task_id) for task_id in (40, 41, 42)}


def test_no_label_is_shown_without_a_model_or_without_an_embedding(growing):
    assert ranker(growing).labels_of([100]) == {}
    growing.update(model_round=0)
    assert ranker(growing).labels_of([40]) == {}


def test_a_strategy_that_fails_leaves_no_queue_empty_and_is_told_of(trained, monkeypatch):
    failing = ranker(trained)

    def fail(*_):
        raise ValueError("k_center: row 3 is zero")

    nothing = dict.fromkeys(("needs", "uses", "columns"), frozenset())
    broken = SimpleNamespace(**nothing, leaves=tuple, select_with_branches=fail)
    monkeypatch.setattr(failing, "_specification", broken)
    choices = failing.choose(10, frozenset())
    assert len({choice.task_id for choice in choices}) == 10
    assert {choice.branch for choice in choices} == {"random"}
    assert "row 3 is zero" in failing.note


def add_fields(project, of):
    with project.database.write() as session:
        mirror.write_tasks(
            project.database,
            session,
            session.get_one(Project, project.id),
            [{"id": n, "data": {"text": text_of(n), **of(n)}} for n in TASK_IDS],
        )


def test_groups_of_what_is_queued_are_full_but_those_of_holdouts_that_wait_are_not(trained):
    configure(trained, group_by="patient", group_limit=1)
    add_fields(trained, lambda n: {"patient": f"p{n % 10}"})
    trained.hold_out(test=range(51, 61))  # one of each patient
    assert len(ranker(trained).choose(30, frozenset())) == 10
    chosen = ids(ranker(trained).choose(30, frozenset({31, 52})))
    assert sorted(n % 10 for n in chosen) == [0, 3, 4, 5, 6, 7, 8, 9]


def test_a_pin_comes_before_the_limit_of_its_group(trained):
    configure(trained, group_by="patient", group_limit=1)
    add_fields(trained, lambda n: {"patient": f"p{n % 10}"})
    pin(trained, 41)
    assert ids(ranker(trained).choose(5, frozenset({31})))[0] == 41


def pin(project, *tasks):
    with project.database.write() as session:
        session.add(
            HandRule(
                project_id=project.id, view_id=1, kind="pin", title="AskNext pin", digest="",
                read_at=0.0,
            )
        )  # fmt: skip
        session.flush()
        session.add_all(HandRuleTask(project_id=project.id, view_id=1, task_id=n) for n in tasks)


def test_a_pin_does_not_wait_for_its_embedding(trained):
    with trained.database.write() as session:
        mirror.write_tasks(
            trained.database,
            session,
            session.get_one(Project, trained.id),
            [{"id": n, "data": {"text": f"never seen before {n}"}} for n in (70, 71)],
        )
    pin(trained, 71)
    chosen = ranker(trained).choose(5, frozenset())
    assert (chosen[0].task_id, chosen[0].branch) == (71, "pin")
    assert {choice.branch for choice in chosen[1:]} == {"margin"}


def test_what_decided_a_pick_can_be_written_as_json(text_project):
    """Without labels the first pick of k-center is infinitely far from them."""
    configure(text_project, strategy="k_center")
    for choice in ranker(text_project).choose(5, frozenset()):
        json.dumps([choice.score, choice.details], allow_nan=False)


def test_a_model_of_the_classes_before_is_used_until_the_next_round(trained):
    configure(trained, strategy="auto")
    with trained.database.write() as session:
        apply_label_config(
            trained.database,
            session,
            session.get_one(Project, trained.id),
            label_config(["chess", "sailing", "football", "weather"]),
        )
    with trained.database.write() as session:
        derive_labels(trained.database, session, session.get_one(Project, trained.id), None)
    made = ranker(trained)
    assert {choice.branch.split(" > ")[0] for choice in made.choose(5, frozenset())} == {"auto"}
    assert "failed" not in (made.note or "")


def test_what_is_not_measured_yet_is_chosen_at_random_and_no_rarity_is_made_up(trained):
    configure(trained, strategy={"rare_properties": {"columns": ["text:words"]}})
    made = ranker(trained)
    chosen = made.choose(5, frozenset())
    assert {choice.branch for choice in chosen} == {"random (not embedded yet)"}
    assert ids(chosen) != sorted(ids(chosen))
    assert "still being embedded" in made.note
    embed(trained.context(), seconds=60.0, report=lambda **_: None)
    chosen = ranker(trained).choose(5, frozenset())
    assert {choice.branch for choice in chosen} == {"rare_properties"}
    assert all(choice.details["property"] == "text:words" for choice in chosen)


def test_a_pick_that_stands_for_a_class_names_it(trained):
    configure(trained, strategy="class_quota")
    chosen = ranker(trained).choose(6, frozenset())
    assert {choice.details["class"] for choice in chosen} == {"weather", "cooking", "football"}
    assert all(choice.details["class"] == choice.details["predicted"] for choice in chosen)


def test_a_strategy_that_names_no_columns_sees_all_beside_one_that_names_some(trained):
    add_fields(trained, lambda n: {"age": n % 30, "site": n % 3 if n > 30 else "labelled"})
    named = {"metadata_balance": {"columns": ["age"]}}
    shares = [{"share": 1, "of": named}, {"share": 1, "of": "metadata_balance"}]
    configure(trained, strategy={"mix": shares})
    levels = {choice.details["level"] for choice in ranker(trained).choose(12, frozenset())}
    assert any(level.startswith("site = ") for level in levels)
    assert any(level.startswith("age = ") for level in levels)
