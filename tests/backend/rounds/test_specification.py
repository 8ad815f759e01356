"""The configured strategy as the round runs it: whatever was accepted can be run, groups or not."""

import pytest

import strategies
from backend.config import parse_config
from backend.rounds.specification import reads_properties, specification_of


def deepest():
    """The most deeply nested strategy that is accepted."""
    found = "margin"
    while True:
        try:
            strategies.parse({"chain": [found]})
        except strategies.GrammarError:
            return found
        found = {"chain": [found]}


@pytest.mark.parametrize(
    "written",
    [
        "margin",
        {"chain": [{"k_center": {"keep": 4}}, "margin"]},
        '{"chain": [{"k_center": {"keep": 4}}, "margin"]}',
        {"groups": {"of": "margin", "at_most": 2}},
        deepest(),
    ],
)
def test_a_strategy_that_was_accepted_is_limited_by_groups_as_it_is(written):
    config = parse_config({"strategy": written, "group_by": "patient", "group_limit": 3})
    found = specification_of(config)
    plain = strategies.parse(written)
    assert found.to_json() == {"groups": {"at_most": 3, "of": plain.to_json()}}
    assert found.needs == plain.needs | {"groups"}
    assert specification_of(parse_config({"strategy": written})).to_json() == plain.to_json()


@pytest.mark.parametrize(
    ("written", "reads"),
    [
        ("margin", False),
        ("rare_properties", True),
        ({"metadata_balance": {"columns": ["text:words"]}}, True),
        ({"metadata_balance": {"columns": ["image:size"]}}, False),
        ({"rare_properties": {"columns": ["age"]}}, False),
    ],
)
def test_texts_are_measured_where_the_strategy_asks_for_it(written, reads):
    assert reads_properties(strategies.parse(written), "text") is reads
