"""What the demo says of a project: labels, round, accuracy, queue and trouble."""

import io
from typing import Any

from rich.console import Console

from demo.display import AnnotatorProgress, Display, project_line, project_panel

PROJECT: dict[str, Any] = {
    "id": 1,
    "title": "News topics",
    "kind": "text",
    "labelled": 60,
    "pool": 2225,
    "embedded": 1099,
    "queue": {"strategy": 59, "random": 4, "test": 24, "validation": 13},
    "last_error": None,
    "rounds": [
        {
            "number": 1,
            "state": "done",
            "stage": None,
            "labelled": 25,
            "metrics": {"validation": {"accuracy": 0.8125, "labelled": 16}},
            "seconds": {"sync": 0.5, "train": 1.0},
        },
        {
            "number": 2,
            "state": "running",
            "stage": "train",
            "labelled": 50,
            "metrics": None,
            "seconds": {},
        },
    ],
}


def rendered(renderable: object) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(renderable)
    stream = console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_a_line_says_all_that_matters() -> None:
    line = project_line(PROJECT, AnnotatorProgress(wanted=200, done=61))
    assert line == (
        "News topics: 60 labelled (annotator 61 of 200); embedded 1,099 of 2,225; "
        "round 2 running (train); validation accuracy 0.812 on 16; "
        "queue 59 strategy, 4 random, 24 test, 13 validation"
    )


def test_the_panel_shows_finished_rounds_and_trouble() -> None:
    text = rendered(project_panel(PROJECT | {"last_error": "Label Studio is away"}, None))
    assert "0.812 on 16" in text
    assert "2 running (train)" in text
    assert "Label Studio is away" in text


def test_a_project_before_its_first_round_can_be_shown() -> None:
    empty = dict.fromkeys(PROJECT["queue"], 0)
    fresh = PROJECT | {"rounds": [], "queue": empty, "pool": 0, "embedded": 0, "labelled": 0}
    assert "none yet" in rendered(project_panel(fresh, None))
    assert "Label Studio serves random tasks" in project_line(fresh, None)


def test_without_a_terminal_a_line_appears_once_for_each_state() -> None:
    stream = io.StringIO()
    with Display(Console(file=stream)) as display:
        for _ in range(3):
            display.update([PROJECT], {})
    assert stream.getvalue().count("News topics") == 1
    assert "\x1b" not in stream.getvalue()
