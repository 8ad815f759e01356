"""`asknext backtest` from the shell: JSON and page written, errors in one line."""

import json

import pytest
from typer.testing import CliRunner

from backend.cli import app
from tests.backend.backtest.test_reading import rows, written


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        given = ["--data-dir", str(tmp_path / "state"), "backtest", *map(str, arguments)]
        return CliRunner().invoke(app, given)

    return call


def test_a_file_is_tested_from_end_to_end(run, tmp_path):
    data = written(tmp_path / "d.jsonl", rows())
    options = ("--encoder", "static", "--seeds", "2", "--jobs", "1", "--batch", 8, "--budget", 16)
    result = run(
        *("--data", data, *options, "--strategies", 'margin;{"margin":{}}'),
        *("--json", tmp_path / "o.json", "--report", tmp_path / "o.html"),
    )
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "o.json").read_text())
    assert list(document["strategies"]) == ["margin", '{"margin":{}}', "random"]
    assert document["recommendation"]["strategy"] is None
    assert "2 seeds" in (tmp_path / "o.html").read_text()
    again = run("--data", data, *options, "--strategy", "margin", "--json", "-")
    assert json.loads(again.stdout)["test_hash"] == document["test_hash"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--project N or --data FILE"),
        (("--data", "absent.csv"), "cannot be read"),
        (("--data", "absent.csv", "--strategies", "margn"), "no strategy 'margn'"),
        (("--data", "absent.csv", "--json", "nowhere/o.json"), "no folder"),
        (("--project", "3"), "no AskNext state"),
    ],
)
def test_what_is_wrong_is_one_line(run, arguments, words):
    result = run(*arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr
