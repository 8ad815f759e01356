"""Runs are paired, repeatable, and never train on what tests them."""

import numpy as np
import pytest

import strategies
from backend.backtest.choosing import chosen, pool_of
from backend.backtest.labelled_data import BacktestError, LabelledData
from backend.backtest.plan import Plan, fitted_plan, named, specification, split
from backend.backtest.runs import Run, make_runs
from backend.models.artefact import Model
from backend.models.head import train_head
from tests.backend.backtest.mixture import mixture

PLAN = Plan(batch=10, budget=40)


def test_all_strategies_of_a_seed_share_the_split_and_the_initial_set():
    data = mixture()
    margin, entropy, chance, covering = make_runs(
        data, PLAN, [Run(name, 3) for name in ("margin", "entropy", "random", "auto")]
    )
    for other in (entropy, chance, covering):
        assert (other.test == margin.test).all()
    for other in (entropy, chance):
        assert (other.picked[:10] == margin.picked[:10]).all()
        assert (other.predictions[0] == margin.predictions[0]).all()
    # auto needs no model: it covers the pool from the first item on.
    assert set(covering.picked[:10]) != set(margin.picked[:10])


def test_seeds_differ_and_the_same_seed_repeats_itself_whoever_runs_beside_it():
    data = mixture()
    one, other = make_runs(data, PLAN, [Run("margin", 0), Run("margin", 1)])
    (again,) = make_runs(data, PLAN, [Run("margin", 1)])
    assert set(one.test) != set(other.test)
    assert (again.picked == other.picked).all()
    assert (again.predictions == other.predictions).all()


@pytest.mark.parametrize("name", ["margin", "auto", "random", "random_groups"])
def test_no_group_of_the_test_set_trains_and_no_item_is_labelled_twice(name):
    data = mixture(group_of=4)
    for outcome in make_runs(data, PLAN, [Run(name, seed) for seed in range(3)]):
        assert not set(data.groups[outcome.test]) & set(data.groups[outcome.picked])
        assert len(set(outcome.picked.tolist())) == PLAN.budget
        assert outcome.predictions.shape == (4, len(outcome.test))


def test_the_same_content_under_two_groups_lies_on_one_side():
    data = mixture(group_of=4)
    keys = data.keys.copy()
    keys[8] = keys[100]  # groups 2 and 25 share a content
    joined = type(data)(data.embeddings, data.labels, data.classes, keys, data.groups)
    assert len(set(joined.units[[8, 9, 100, 101]].tolist())) == 1
    for seed in range(10):
        drawn = split(joined, seed, 20)
        test = set(drawn.test.tolist())
        assert {8, 9, 100, 101} <= test or not {8, 9, 100, 101} & test


def test_a_test_set_that_is_named_is_the_test_set_of_every_seed():
    named_items = np.arange(240) % 5 == 0
    data = mixture(test=named_items, group_of=3)
    for seed in range(3):
        drawn = split(data, seed, 20)
        assert (drawn.test == np.flatnonzero(named_items)).all()
        held = set(data.groups[drawn.test])
        assert not held & set(data.groups[np.concatenate([drawn.pool, drawn.validation])])


def test_parts_of_a_split_are_disjoint_and_the_whole_is_used():
    data = mixture(n=400)
    drawn = split(data, 0, 40, 10)
    parts = np.concatenate([drawn.test, drawn.validation, drawn.pool])
    assert len(parts) == len(set(parts.tolist())) == 400 - drawn.blocked
    assert (len(drawn.test), len(drawn.validation)) == (100, 40)
    assert set(drawn.initial) <= set(drawn.pool)


def test_near_duplicates_of_what_tests_do_not_train():
    """As in a live round: a hundred items and a slightly brighter copy of each."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(200, 64)).astype(np.float32)
    copies = one[:100] + 0.01 * rng.normal(size=(100, 64)).astype(np.float32)
    data = LabelledData(
        np.concatenate([one, copies]),
        rng.integers(2, size=300),
        ("no", "yes"),
        np.array([str(n) for n in range(300)]),
    )
    assert len(data.near_duplicates) == 100
    drawn = split(data, 0, 10)
    held = set(np.concatenate([drawn.test, drawn.validation]).tolist())
    twins = {(row + 200) % 400 for row in held if row < 100 or row >= 200}
    left_out = set(range(300)) - held - set(drawn.pool.tolist())
    assert left_out == twins - held
    assert drawn.blocked == len(left_out) > 20


def test_embeddings_of_two_numbers_hold_no_copies():
    rng = np.random.default_rng(0)
    data = LabelledData(
        rng.normal(size=(600, 2)).astype(np.float32),
        rng.integers(2, size=600),
        ("no", "yes"),
        np.array([str(n) for n in range(600)]),
    )
    assert split(data, 0, 10).blocked == 0


def test_a_strategy_sees_what_a_live_round_shows_it_and_nothing_else():
    data = mixture(group_of=4)
    labelled, rows = np.arange(60), np.arange(60, 240)
    head = train_head(
        data.embeddings[labelled], data.labels[labelled], data.classes, previous=None, seed=0
    )
    model = Model(head, "", temperature=2.0)
    spec = specification("auto", data, PLAN)
    pool = pool_of(data, spec, rows, labelled, model, None)
    assert (pool.embeddings == data.embeddings[rows]).all()
    assert (pool.probabilities == model.probabilities(data.embeddings[rows])).all()
    assert (pool.labels == data.labels[labelled]).all()
    assert (pool.labelled_embeddings == data.embeddings[labelled]).all()
    assert (pool.groups == data.groups[rows]).all()
    assert pool.members is None
    picked, filled = chosen(pool, spec, 20, (0, 1, 0))
    assert len(set(pool.groups[picked])) == 20  # the group limit, one of each
    assert filled == 0


def test_a_batch_larger_than_the_groups_allow_is_filled_by_chance_and_says_so():
    data = mixture(group_of=60)
    (outcome,) = make_runs(data, PLAN, [Run("margin", 0)])
    assert len(outcome.picked) == PLAN.budget
    assert outcome.filled > 0


@pytest.mark.parametrize("name", ["bald", "temporal_output_discrepancy", "predicted_loss"])
def test_what_a_strategy_asks_for_is_made(name):
    data = mixture(spread=0.3)
    plan = Plan(batch=30, budget=90, members=3)
    wanted, chance = make_runs(data, plan, [Run(name, 0), Run("random", 0)])
    assert (wanted.picked[:30] == chance.picked[:30]).all()
    assert set(wanted.picked.tolist()) != set(chance.picked.tolist())


def test_margin_learns_faster_than_its_opposite():
    """The loop as a whole does what it is for."""
    data = mixture(n=600, d=6, classes=2, spread=0.8)
    plan = Plan(batch=10, budget=100)
    seeds = range(4)
    margin = make_runs(data, plan, [Run("margin", seed) for seed in seeds])
    chance = make_runs(data, plan, [Run("random", seed) for seed in seeds])

    def accuracy(outcomes):
        return np.mean([(o.predictions == data.labels[o.test]).mean() for o in outcomes])

    assert accuracy(margin) > accuracy(chance) - 0.02


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("random_groups", "--group-column"),
        ({"metadata_balance": {"columns": ["scanner"]}}, "'scanner'"),
        (
            {"rare_properties": {"columns": ["text:words"]}},
            "text:words, which is not measured here",
        ),
        ({"rare_properties": {"columns": ["text:length"]}}, "no property .*text:characters"),
    ],
)
def test_a_strategy_whose_input_the_data_lacks_is_refused(spec, words):
    with pytest.raises(BacktestError, match=words):
        specification(spec, mixture(), PLAN)


def test_metadata_reaches_the_strategy():
    scanner = np.array(["a", "b", "c", "d"] * 60, dtype=object)
    data = mixture(metadata={"scanner": scanner})
    spec = {"metadata_balance": {"columns": ["scanner"]}}
    (outcome,) = make_runs(data, PLAN, [Run(spec, 0)])
    _, counts = np.unique(scanner[outcome.picked].astype(str), return_counts=True)
    assert counts.tolist() == [10, 10, 10, 10]


def test_settings_that_are_left_out_suit_the_data():
    plan, notes = fitted_plan(mixture(n=2_400))
    assert (plan.batch, plan.budget) == (50, 1_000)
    assert not any("budget" in note for note in notes)
    small, _ = fitted_plan(mixture(n=200))
    assert len(small.points) >= 5
    assert small.budget < 120
    with pytest.raises(BacktestError, match="lower --budget to"):
        fitted_plan(mixture(n=200), batch=20, budget=400)


def test_data_that_cannot_be_split_is_refused():
    data = mixture(group_of=240)
    with pytest.raises(BacktestError, match="never split"):
        fitted_plan(data)


def test_a_group_of_more_than_half_of_the_items_never_tests_and_leaves_a_test_set():
    data = mixture(n=240)
    groups = np.array([f"patient {max(row - 160, 0)}" for row in range(240)])
    data = type(data)(data.embeddings, data.labels, data.classes, data.keys, groups)
    for seed in range(20):
        test = split(data, seed, 20).test
        assert len(test) == 60
        assert test.min() > 160


def test_the_budget_fits_the_smallest_pool_of_the_seeds():
    data = mixture(n=240)
    sizes = [50, 50, 50, *[1] * 90]
    groups = np.repeat([f"patient {n}" for n in range(len(sizes))], sizes)
    data = type(data)(data.embeddings, data.labels, data.classes, data.keys, groups)
    smallest = min(len(split(data, seed, 50).pool) for seed in range(30))
    assert smallest < len(split(data, 0, 50).pool)
    fitted_plan(data, batch=1, budget=smallest, seeds=30)
    with pytest.raises(BacktestError, match=f"pool of {smallest} items"):
        fitted_plan(data, batch=1, budget=smallest + 1, seeds=30)


def test_random_is_always_there_and_names_are_as_they_were_written():
    found = named(["margin", {"chain": ["auto", "margin"]}])
    assert list(found) == ["margin", '{"chain": ["auto", "margin"]}', "random"]
    with pytest.raises(strategies.GrammarError, match="no strategy 'margn'"):
        named(["margn"])
