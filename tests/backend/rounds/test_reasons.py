"""The reason of a queue position is one true sentence."""

import pytest

from backend.rounds.reasons import MEANINGS, NEUTRAL, is_reason, sentence
from strategies.registry import REGISTRY


def reason(branch="margin", family="strategy", score=None, probability=None, **details):
    return sentence(
        family=family,
        branch=branch,
        score=score,
        probability=probability,
        details=details,
        classes=["cat", "dog"],
        pins=["AskNext pin x"] if branch == "pin" else [],
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"family": "test"}, "the test set"),
        ({"family": "validation"}, "the validation set"),
        ({"family": "random", "probability": 0.01}, "drawn at random (with probability 0.01)"),
        ({"branch": "pin"}, "pinned by the tab 'AskNext pin x'"),
        ({"branch": "random", "inclusion_probability": 0.25}, "with probability 0.25"),
        ({"score": 0.98765}, "margin chose it: the model wavers between its two most probable"),
        ({"score": 0.98765}, "(score 0.988)"),
        ({"branch": "max_herding", "covered": 1_234}, "it covers 1,234 tasks better than all"),
        ({"branch": "k_center", "distance": 0.5}, "it lies 0.5 from its nearest"),
        ({"branch": "typiclust", "cluster_size": 1}, "it stands for 1 similar task."),
        ({"branch": "class_quota", "class": 1, "quota": 3}, "'dog', which was given 3"),
        ({"branch": "metadata_balance", "level": "site=north"}, "it stands for site=north"),
        ({"branch": "rare", "property": "text:digits", "value": 0.5}, "its text:digits is 0.5"),
        ({"branch": "margin > k_center", "distance": 1.0}, "margin > k_center chose it: it lies 1"),
        ({"branch": "badge"}, "badge chose it."),
    ],
)  # fmt: skip
def test_it_says_what_decided(given, expected):
    text = reason(**given)
    assert expected in text
    assert text.endswith(".")
    assert "\n" not in text


def test_every_meaning_is_of_a_strategy_with_a_score():
    for name in MEANINGS:
        assert REGISTRY[name].has_score, name


@pytest.mark.parametrize(
    "given",
    [
        {"family": "test"},
        {"family": "validation"},
        {"family": "random", "probability": 0.01},
        {"branch": "pin"},
        {"branch": "random"},
        {"branch": "mix > badge"},
        {"score": 0.5},
    ],
)
def test_a_reason_is_known_again(given):
    assert is_reason(reason(**given))
    assert is_reason(NEUTRAL)


@pytest.mark.parametrize("value", ["", "seen by the clinic", "margin", 3, None, NEUTRAL + " So."])
def test_anything_else_is_none(value):
    assert not is_reason(value)
