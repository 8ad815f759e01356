"""Outcomes are kept as they come: a stopped backtest goes on, and adds only what is new."""

import pytest

from backend.backtest.analysis import analyse
from backend.backtest.batches import make_batch
from backend.backtest.kept import Kept, in_batches
from backend.backtest.plan import Plan
from backend.backtest.report import report_html
from backend.backtest.runs import Run, make_runs
from backend.backtest.written import read_strategies
from backend.errors import ConfigurationError
from tests.backend.backtest.mixture import mixture

PLAN = Plan(batch=10, budget=30)


@pytest.fixture
def kept(tmp_path):
    return Kept.of(tmp_path, mixture(n=120), PLAN)


def test_a_batch_makes_only_what_is_missing_and_tells_of_all(kept):
    data = mixture(n=120)
    runs = [Run(name, seed) for seed in range(2) for name in ("margin", "random")]
    assert make_batch(kept.folder, runs[:1]) is None
    stamp = kept._path(runs[0]).stat().st_mtime_ns
    told = []
    assert make_batch(kept.folder, runs, told.append) is None
    assert told == [3, 6, 9, 12]
    assert kept._path(runs[0]).stat().st_mtime_ns == stamp
    for run, expected in zip(runs, make_runs(data, PLAN, runs), strict=True):
        found = kept.outcome(run)
        for name in ("test", "picked", "predictions"):
            assert (getattr(found, name) == getattr(expected, name)).all()


def test_other_data_or_settings_are_another_backtest(kept, tmp_path):
    data = mixture(n=120)
    assert Kept.of(tmp_path, data, PLAN).folder == kept.folder
    assert Kept.of(tmp_path, data, Plan(batch=5, budget=30)).folder != kept.folder
    data.labels[0] = (data.labels[0] + 1) % 3
    assert Kept.of(tmp_path, data, PLAN).folder != kept.folder


def test_a_strategy_that_fails_is_named(kept):
    assert "rare_properties" in make_batch(kept.folder, [Run("rare_properties", 0)])


def test_batches_hold_each_run_once_in_the_order_of_seeds():
    runs = [Run(name, seed) for name in "abcde" for seed in range(10)]
    batches = in_batches(runs, 2)
    flat = [run for batch in batches for run in batch]
    assert sorted(map(str, flat)) == sorted(map(str, runs))
    assert [run.seed for run in flat] == sorted(run.seed for run in runs)


def test_the_report_stands_alone_and_shows_every_strategy():
    data = mixture(n=120)
    spec = {"chain": [{"margin": {"keep": 2}}, "k_center"]}
    outcomes = {
        name: make_runs(data, PLAN, [Run(written, seed) for seed in range(4)])
        for name, written in (("<chain>", spec), ("random", "random"))
    }
    page = report_html(analyse(data, PLAN, outcomes, ["a note & more"]), "data.csv")
    assert "&lt;chain&gt;" in page
    assert "a note &amp; more" in page
    assert page.count("<svg") == 2
    assert page.count("<polyline") == 4
    assert not {"<script", "http://", "https://"} & set(page.split('"'))
    assert "nan" not in page.replace("dominant", "")


def test_a_list_of_strategies_may_hold_semicolons_inside_json():
    written = 'auto; {"metadata_balance": {"columns": ["a;b"]}} ;"margin";random;'
    assert read_strategies(written) == {
        "auto": "auto",
        '{"metadata_balance": {"columns": ["a;b"]}}': {"metadata_balance": {"columns": ["a;b"]}},
        "margin": "margin",
        "random": "random",
    }
    for wrong in ('{"chain": [', '{"a": 1} margin'):
        with pytest.raises(ConfigurationError, match="strategies"):
            read_strategies(wrong)
    assert read_strategies("") == {}
