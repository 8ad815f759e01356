"""Fields of `task.data` as columns: numbers stay numbers, what is missing stays missing."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from backend.rounds.fields import column, groups, read_fields
from backend.rounds.mirror import task_fields

FIELDS = {
    1: {"site": "north", "age": 40, "patient": "a"},
    2: {"site": "south", "age": 41.5, "patient": ""},
    3: {"site": 7, "flag": True},
}


def test_a_column_of_numbers_is_one_of_floats():
    values = column(FIELDS, [1, 2, 3], "age")
    assert values.dtype == np.float64
    assert_array_equal(values, [40, 41.5, np.nan])


def test_any_other_column_holds_texts_or_nothing():
    assert column(FIELDS, [3, 2, 1], "site").tolist() == ["7", "south", "north"]
    assert column(FIELDS, [1, 3], "flag").tolist() == [None, "True"]


def test_a_field_that_no_task_has_is_no_column():
    assert column(FIELDS, [1, 2], "scanner") is None


def test_a_task_without_a_group_is_a_group_of_its_own():
    found = groups(FIELDS, [1, 2, 3, 4], "patient").tolist()
    assert len(set(found)) == 4
    assert found[0] == "group a"


@pytest.mark.parametrize(
    ("value", "kept"),
    [("north", True), (3, True), (2.5, True), (False, True), ("x" * 201, False), (None, False),
     (["a"], False), ({"a": 1}, False)],
)  # fmt: skip
def test_short_scalars_are_fields(value, kept):
    assert ("site" in task_fields({"site": value, "text": "a text"}, "text")) == kept


def test_neither_the_content_nor_what_asknext_writes_is_a_field():
    data = {"text": "a text", "site": "north", "asknext_reason": "It was drawn."}
    assert task_fields(data, "text", "asknext_reason") == {"site": "north"}


def test_they_are_read_by_task(trained):
    with trained.database.read() as session:
        found = read_fields(session, trained.id)
    assert found[1] == {}
    assert len(found) == 60
