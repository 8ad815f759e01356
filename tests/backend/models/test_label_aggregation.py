"""From annotations to one label: majority, ties, skips and second thoughts."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.models.label_aggregation import TaskLabel, Vote, aggregate


def votes(*labels: str | None) -> list[Vote]:
    return [Vote(annotator, label) for annotator, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("given_votes", "expected"),
    [
        ([], TaskLabel(None, "none", 0, None)),
        (votes("a"), TaskLabel("a", "settled", 1, None)),
        (votes("a", "a"), TaskLabel("a", "settled", 2, 1.0)),
        (votes("a", "b"), TaskLabel(None, "tie", 2, 0.5)),
        (votes("a", "b", "a"), TaskLabel("a", "settled", 3, 2 / 3)),
        (votes("a", "b", "a", "b", "c"), TaskLabel(None, "tie", 5, 0.4)),
        (votes("a", None, ""), TaskLabel("a", "settled", 1, None)),
        ([Vote(1, "a"), Vote(2, "b", cancelled=True)], TaskLabel("a", "settled", 1, None)),
        ([Vote(1, "a", cancelled=True)], TaskLabel(None, "none", 0, None)),
        ([Vote(1, "a", order=2), Vote(1, "b", order=5)], TaskLabel("b", "settled", 1, None)),
        ([Vote(1, "b", order=5), Vote(1, "a", order=2)], TaskLabel("b", "settled", 1, None)),
        ([Vote(None, "a"), Vote(None, "a")], TaskLabel("a", "settled", 2, 1.0)),
        # his later skip or empty annotation does not take his label back
        ([Vote(1, "a", order=1), Vote(1, None, order=2)], TaskLabel("a", "settled", 1, None)),
        (
            [Vote(1, "a", order=1), Vote(1, "b", cancelled=True, order=2)],
            TaskLabel("a", "settled", 1, None),
        ),
    ],
)
def test_what_votes_say(given_votes: list[Vote], expected: TaskLabel) -> None:
    assert aggregate(given_votes) == expected


def test_another_annotation_settles_a_tie() -> None:
    assert aggregate(votes("a", "b")).status == "tie"
    assert aggregate(votes("a", "b", "b")).label == "b"


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["a", "b", "c", None]), st.booleans()),
        max_size=12,
    ),
    st.integers(0, 99),
)
def test_the_order_of_the_list_does_not_matter(
    drawn: list[tuple[int, str | None, bool]], seed: int
) -> None:
    cast = [
        Vote(annotator, label, cancelled, order)
        for order, (annotator, label, cancelled) in enumerate(drawn)
    ]
    shuffled = Random(seed).sample(cast, len(cast))
    result = aggregate(cast)
    assert aggregate(shuffled) == result
    assert (result.label is not None) == (result.status == "settled")
    if result.agreement is not None:
        assert 0 < result.agreement <= 1
