"""The default strategy: which method it uses when, that it says so, and what rarity does."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, parse, select
from strategies.hybrid.auto import auto, rare_class_weights
from strategies.strategy import POOL_FIELDS
from tests.strategies.pools import full_fields

USED = ("embeddings", "probabilities", "labelled_embeddings", "labels")


def fields(n: int = 60, labels: tuple[int, ...] = (0, 1, 1, 2, 3)) -> dict[str, Any]:
    held = full_fields(n, labelled=len(labels))
    return {**{name: held[name] for name in USED}, "labels": np.array(labels, dtype=np.int64)}


def seeded() -> np.random.Generator:
    return np.random.default_rng(0)


def batch(size: int, held: dict[str, Any], **parameters: object) -> list[int]:
    return select("auto", Pool(**held), size, seeded(), **parameters).tolist()


def told(held: dict[str, Any], **parameters: object) -> tuple[str, str]:
    """The branch that chose the batch, and the note."""
    written = {"auto": parameters} if parameters else "auto"
    chosen = parse(written).select_with_branches(Pool(**held), 6, seeded())
    assert len(set(chosen.branches)) == 1
    return chosen.branches[0], chosen.notes[0]


def test_covers_the_pool_as_max_herding_until_there_is_a_model() -> None:
    held = {"embeddings": fields()["embeddings"]}
    assert batch(6, held) == select("max_herding", Pool(**held), 6).tolist()
    assert told(held) == (
        "auto > max_herding",
        "Coverage of the pool (max_herding): there is no model yet.",
    )


def test_goes_on_covering_while_one_class_is_all_there_is() -> None:
    held = fields(labels=(2, 2, 2))
    without = {name: held[name] for name in ("embeddings", "labelled_embeddings")}
    assert batch(6, held) == select("max_herding", Pool(**without), 6).tolist()
    assert "all labels so far are of one class" in told(held)[1]
    held["labels"][0] = 1
    assert told(held)[0] == "auto > uherding"


def test_goes_on_covering_where_the_model_is_sure_of_everything() -> None:
    held = fields()
    held["probabilities"] = np.tile([0.0, 1.0, 0.0, 0.0], (60, 1))
    assert told(held) == (
        "auto > max_herding",
        "Coverage of the pool (max_herding): the model is sure of every item.",
    )


def test_is_uherding_once_two_classes_are_known() -> None:
    held = fields()
    uherding = {name: held[name] for name in USED[:3]}
    expected = select("uherding", Pool(**uherding), 6).tolist()
    assert batch(6, held, rarity=0.0) == expected
    branch, note = told(held)
    assert branch == "auto > uherding"
    assert note.endswith("the model has seen 4 of 4 classes in 5 labels.")


def test_zero_shot_probabilities_are_used_before_any_label() -> None:
    held = {name: fields()[name] for name in USED[:2]}
    branch, note = told(held)
    assert branch == "auto > uherding"
    assert note.endswith("there are probabilities of 4 classes.")


def test_a_large_pool_gets_the_cheap_alternative() -> None:
    held = fields()
    branch, note = told(held, large=59)
    assert branch == "auto > margin_k_means"
    assert "of 60 items, more than 59" in note
    assert told(held, large=60)[0] == "auto > uherding"
    expected = {name: held[name] for name in USED[:2]}
    assert (
        batch(6, held, large=59) == select("margin_k_means", Pool(**expected), 6, seeded()).tolist()
    )


def test_only_the_least_margins_are_candidates_but_all_items_are_to_be_covered() -> None:
    held = fields()
    top = np.sort(held["probabilities"], axis=1)
    order = np.argsort(top[:, -1] - top[:, -2])
    assert set(batch(4, held, candidates_per_pick=2.0)) <= set(order[:8].tolist())
    assert batch(4, held, candidates_per_pick=15.0) == batch(4, held, candidates_per_pick=1000.0)


def test_an_item_of_a_rare_class_goes_before_an_equally_unsure_one_of_a_common_class() -> None:
    # Six far apart items, all with a gap of 0.2 between their two classes; 2 and 3 are rare.
    probabilities = np.zeros((6, 4))
    probabilities[:5, 0], probabilities[:5, 1] = 0.6, 0.4
    probabilities[5, 2], probabilities[5, 3] = 0.6, 0.4
    held = {"embeddings": np.eye(6), "probabilities": probabilities}
    assert batch(1, held) == [5]
    assert batch(1, held, rarity=0.0) == [0]


def test_rare_class_weights_as_worked_out_by_hand() -> None:
    # Shares 3/4 and 1/4; at rarity 1/2 the factors are 2 / sqrt(3) and 2.
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    common, mixed = 2 / 3**0.5, (2 / 3**0.5 + 2) / 2
    assert_allclose(rare_class_weights(probabilities, 0.5), [common, common, mixed, mixed])
    assert_array_equal(rare_class_weights(probabilities, 0.0), np.ones(4))


@given(seed=st.integers(0, 1000), classes=st.integers(1, 6), rarity=st.floats(0, 1))
def test_rarity_moves_weight_from_common_to_rare_classes(
    seed: int, classes: int, rarity: float
) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), size=40)
    weights = rare_class_weights(probabilities, rarity)
    shares = probabilities.mean(axis=0)
    # The total weight of a class follows its share to the power 1 - rarity.
    total = probabilities.sum(axis=0) * shares**-rarity
    assert_allclose(weights.sum(), total.sum(), rtol=1e-9)
    assert (weights > 0).all()
    assert_allclose(rare_class_weights(probabilities, 1.0).mean(), classes, rtol=1e-9)


def test_a_class_that_is_never_predicted_changes_nothing() -> None:
    held = fields()
    wider = np.concatenate([held["probabilities"], np.zeros((60, 1))], axis=1)
    assert batch(6, {**held, "probabilities": wider}) == batch(6, held)


@pytest.mark.parametrize("seed", range(3))
def test_does_not_depend_on_the_order_of_the_pool(seed: int) -> None:
    held = fields()
    order = np.random.default_rng(seed).permutation(60)
    moved = {**held, **{name: held[name][order] for name in USED[:2]}}
    assert order[batch(5, moved)].tolist() == batch(5, held)


def test_needs_embeddings_only() -> None:
    held = {"embeddings": fields()["embeddings"]}
    assert set(USED) <= POOL_FIELDS
    picks = auto(held["embeddings"], np.arange(60), 4, seeded())
    assert len(picks.indices) == 4
    assert set(picks.details) == {"gain", "covered"}
