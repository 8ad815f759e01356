"""Label Studio's ML protocol on the wire: what is read, and what is refused by field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import RequestError
from backend.protocol import (
    decode,
    predict_request,
    project_number,
    setup_request,
    webhook_request,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def any_document(*fields):
    return st.fixed_dictionaries({}, optional=dict.fromkeys(fields, JSON))


@pytest.mark.parametrize(
    ("written", "number"),
    [("7.1732430000", 7), ("7", 7), (7, 7), ("2147483647.1", 2147483647), ("7.", 7)],
)
def test_a_project_is_named_by_its_id_with_or_without_a_timestamp(written, number):
    assert project_number(written) == number


@pytest.mark.parametrize(
    "written", [None, "", "x", "-7", ".7", "²", "٣", "9" * 40, 10**40, True, 7.5, ["7"], {"id": 7}]
)
def test_anything_else_names_no_project(written):
    assert project_number(written) is None


def test_setup_reads_the_project_the_config_and_the_extra_params():
    wanted = setup_request(
        {"project": "7.1", "schema": "<View/>", "hostname": "h", "extra_params": {"seed": 1}}
    )
    assert (wanted.label_studio_id, wanted.label_config, wanted.extra_params) == (
        7,
        "<View/>",
        {"seed": 1},
    )
    assert setup_request({"project": 7, "schema": ""}).extra_params is None


def test_predict_keeps_the_tasks_in_their_order_and_their_data_whole():
    data = {"text": "a", "other": [1, {"b": None}]}
    wanted = predict_request(
        {"tasks": [{"id": 5, "data": data}, {"data": {}}], "project": "7.1", "label_config": "<V/>"}
    )
    assert wanted.tasks == [(5, data), (None, {})]
    assert (wanted.label_studio_id, wanted.label_config) == (7, "<V/>")


def test_an_event_names_its_project_by_object_or_by_number():
    for project in ({"id": 7, "title": "x"}, 7, "7", "7.1732430000"):
        assert webhook_request({"action": "A", "project": project}).label_studio_id == 7
    assert webhook_request({"action": "A"}).label_studio_id is None


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_body_is_an_object_or_is_refused(body):
    document, refused = attempt(decode, body)
    assert isinstance(document, dict) or (refused.field, refused.status) == ("body", 400)


@given(any_document("project", "schema", "label_config", "extra_params"))
def test_setup_reads_or_refuses_whatever_it_is_sent(document):
    read_or_refused(setup_request, document, {"project", "schema"})


@given(any_document("tasks", "project", "label_config", "params"))
def test_predict_reads_or_refuses_whatever_it_is_sent(document):
    read_or_refused(predict_request, document, {"tasks", "project", "label_config"})


@given(st.lists(JSON | any_document("id", "data"), max_size=4))
def test_predict_reads_or_refuses_whatever_tasks_it_is_sent(tasks):
    read_or_refused(predict_request, {"tasks": tasks}, {"tasks"})


@given(any_document("action", "project", "task", "annotation"))
def test_the_webhook_reads_or_refuses_whatever_it_is_sent(document):
    read_or_refused(webhook_request, document, {"action"})


def read_or_refused(read, document, fields):
    _, refused = attempt(read, document)
    if refused is not None:
        assert refused.field.split("[")[0] in fields
        assert 400 <= refused.status < 500
        assert refused.message
        assert refused.mend


def attempt(read, document):
    """What was read, and the refusal; any other exception is a bug."""
    try:
        return read(document), None
    except RequestError as refused:
        return None, refused
