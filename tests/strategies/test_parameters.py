"""The parameters of a strategy, read off its function and checked."""

from collections.abc import Mapping
from typing import Annotated, Any

import pytest

from strategies import GrammarError, parse
from strategies.parameters import Interval, Parameter, read_signature

Shares = Annotated[Mapping[str, float] | None, Interval(above=0.0)]


def example(
    *, shares: Shares = None, nested: Mapping[str, Mapping[str, int]] | None = None
) -> None:
    del shares, nested


def parameter(name: str) -> Parameter:
    found = {p.name: p for p in read_signature(example, frozenset()).parameters}
    return found[name]


def test_an_object_of_numbers_is_taken_as_it_is_in_json() -> None:
    assert parameter("shares").accepted({"2": 3, "0": 0.5}) == {"2": 3.0, "0": 0.5}
    assert parameter("shares").accepted(None) is None
    assert parameter("nested").accepted({"a": {"b": 2}, "c": {}}) == {"a": {"b": 2}, "c": {}}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shares", [1.0], r"\[1.0\] must be an object with texts as keys"),
        ("shares", {1: 1.0}, "must be an object with texts as keys"),
        ("shares", {"a": "3"}, "a: '3' must be a finite number"),
        ("shares", {"a": True}, "a: True must be a finite number"),
        ("shares", {"a": 1.0, "b": 0.0}, "b: 0 must be greater than 0"),
        ("nested", {"a": 2}, "a: 2 must be an object with texts as keys"),
        ("nested", {"a": {"b": 2.5}}, "a: b: 2.5 must be a whole number"),
    ],
)
def test_a_wrong_object_is_refused_with_the_key(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parameter(name).accepted(value)


def test_the_grammar_names_the_path_and_round_trips() -> None:
    written = {"metadata_balance": {"columns": ["site"], "over_represent": {"site": {"south": 3}}}}
    assert parse(written).to_json() == written
    with pytest.raises(
        GrammarError, match=r"^strategy.metadata_balance.over_represent: site: south: -1 must be"
    ):
        parse({"metadata_balance": {"over_represent": {"site": {"south": -1}}}})
