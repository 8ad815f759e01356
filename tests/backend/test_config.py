"""The configuration: one schema, and errors that name the field and the mend."""

import json

import pytest

from backend.config import QueueConfig, digest_of, parse_config
from backend.errors import ConfigurationError


def test_nothing_at_all_is_the_default_configuration():
    for empty in (None, "", "{}", {}):
        assert parse_config(empty) == QueueConfig()


def test_the_defaults_are_the_documented_ones():
    config = QueueConfig()
    assert (config.strategy, config.batch_size, config.random_share) == ("auto", 50, 0.1)
    assert (config.retrain_every, config.budget, config.window) == (25, 5000, 100)
    assert (config.preannotate, config.control, config.seed) == ("none", None, 0)
    assert (config.test_size, config.validation_size) == (None, 50)
    assert (config.test_set, config.strata, config.evaluation_cap) == (None, (), 0.3)
    assert (config.control_rounds, config.rolling_share, config.rolling_rounds) == (3, 0.05, 3)
    assert config.holdout_rate == pytest.approx(1 / 3)


def test_json_text_as_typed_into_label_studio_is_read():
    text = json.dumps({"strategy": {"chain": [{"k_center": {"keep": 4}}, "margin"]}, "seed": 3})
    assert parse_config(text).seed == 3


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"random_share": 1.5}, "random_share"),
        ({"batch_size": 0}, "batch_size"),
        ({"preannotate": "always"}, "preannotate"),
        ({"colour": "red"}, "colour"),
        ({"strategy": "margni"}, "strategy"),
        ({"strategy": {"chain": ["margin", "nothing"]}}, "strategy.chain[1]"),
        ("{not json", ""),
        ([1, 2], ""),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_path_of_the_wrong_part(document, path):
    with pytest.raises(ConfigurationError) as refused:
        parse_config(document)
    assert refused.value.path == path
    assert len(refused.value.message) > 10


def test_an_unknown_setting_is_answered_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="the settings are strategy, batch_size"):
        parse_config({"batchsize": 3})


def test_shares_that_leave_the_strategy_nothing_are_refused():
    with pytest.raises(ConfigurationError, match="make their sum at most 1"):
        parse_config({"random_share": 0.8, "holdout_rate": 0.5, "evaluation_cap": 1})


def test_measuring_without_a_control_or_without_a_test_set_must_be_meant():
    with pytest.raises(ConfigurationError, match="accept_no_control"):
        parse_config({"random_share": 0})
    assert parse_config({"random_share": 0, "accept_no_control": True}).random_share == 0
    with pytest.raises(ConfigurationError, match="raise evaluation_cap"):
        parse_config({"random_share": 0.3})
    assert parse_config({"random_share": 0.3, "evaluation_cap": 0.5}).random_share == 0.3


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


@pytest.mark.parametrize(
    "named",
    [{"field": "site", "value": "B"}, {"tab": "Production"}, {"file": "production.csv"}],
)
def test_a_reference_is_named_in_one_of_three_ways(named):
    found = parse_config({"reference": named}).reference
    assert found.model_dump(exclude_none=True) == named


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ({}, "reference"),
        ({"field": "site"}, "reference"),
        ({"tab": "Production", "file": "production.csv"}, "reference"),
        ({"file": "/etc/passwd"}, "reference.file"),
        ({"file": "../credentials.json"}, "reference.file"),
        ({"file": "a\\b.csv"}, "reference.file"),
        ({"file": ".."}, "reference.file"),
        ({"path": "production.csv"}, "reference.path"),
    ],
)
def test_a_reference_reads_no_other_file_of_the_server(named, path):
    with pytest.raises(ConfigurationError) as refused:
        parse_config({"reference": named})
    assert refused.value.path == path
