"""What the demo shows while it runs: a live table in a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from demo.report import Access

ROUNDS_SHOWN = 6
PLAIN_SECONDS = 5.0
FAMILIES = ("strategy", "random", "test", "validation")


@dataclass
class AnnotatorProgress:
    """How far a scripted annotator has come in one project; `wanted` 0 where none runs."""

    wanted: int = 0
    done: int = 0
    note: str = ""


def access_panel(access: Access, projects: Mapping[int, str]) -> Panel:
    """Return the box that says where to look and how to log in."""
    table = Table(show_header=False, box=None)
    table.add_row("Label Studio", access.label_studio_url)
    table.add_row("  log in as", f"{access.email}  password  {access.password}")
    for number, title in projects.items():
        table.add_row(f"  {title}", f"{access.label_studio_url}/projects/{number}/data")
    table.add_row("AskNext", f"{access.asknext_url}/api/projects")
    table.add_row("  log in as", f"{access.asknext_user}  password  {access.asknext_password}")
    table.add_row(
        "Label", 'open a project and press "Label All Tasks"; Ctrl-C here ends everything'
    )
    return Panel(table, title="AskNext demo", expand=False)


class Display:
    """Show the state of the projects again and again, in the way that the output allows."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._lines: dict[int, tuple[str, float]] = {}

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(
        self, projects: Sequence[Mapping[str, Any]], annotators: Mapping[int, AnnotatorProgress]
    ) -> None:
        """Show the newest state; plain lines appear when they differ, every 5 s at most."""
        if self._live is not None:
            panels = [project_panel(item, annotators.get(item["id"])) for item in projects]
            self._live.update(Group(*panels))
            return
        now = time.monotonic()
        for item in projects:
            line = project_line(item, annotators.get(item["id"]))
            last, shown_at = self._lines.get(item["id"], ("", -PLAIN_SECONDS))
            if line != last and now - shown_at >= PLAIN_SECONDS:
                self.console.print(line, markup=False, highlight=False, soft_wrap=True)
                self._lines[item["id"]] = (line, now)


def project_panel(
    project: Mapping[str, Any], annotator: AnnotatorProgress | None
) -> RenderableType:
    """Return the box of one project: embedding, labels, queue, and the latest rounds."""
    facts = Table(show_header=False, box=None)
    pool, embedded = project["pool"], project["embedded"]
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=max(pool, 1), completed=embedded, width=40), f"{embedded:,} of {pool:,}"
    )
    facts.add_row("embedded", bar)
    facts.add_row("labelled", labelled_text(project, annotator))
    facts.add_row("round", round_text(project))
    facts.add_row("queue", queue_text(project))
    if project.get("last_error"):
        facts.add_row("trouble", Text(str(project["last_error"]), style="red"))
    rounds = Table(box=None)
    for heading in ("round", "labels", "validation accuracy", "random control", "seconds"):
        rounds.add_column(heading, justify="right")
    for entry in finished_rounds(project)[-ROUNDS_SHOWN:]:
        rounds.add_row(
            str(entry["number"]),
            str(entry["labelled"]),
            accuracy_text(entry, "validation"),
            control_text(entry),
            f"{sum((entry.get('seconds') or {}).values()):.1f}",
        )
    title = f"{project['title']} ({project['kind']}, project {project['id']})"
    return Panel(Group(facts, rounds), title=title, expand=False)


def project_line(project: Mapping[str, Any], annotator: AnnotatorProgress | None) -> str:
    """Return the state of one project as one line of text."""
    rounds = finished_rounds(project)
    parts = [
        f"{project['title']}: {labelled_text(project, annotator)}",
        f"embedded {project['embedded']:,} of {project['pool']:,}",
        f"round {round_text(project)}",
        f"validation accuracy {accuracy_text(rounds[-1], 'validation') if rounds else '-'}",
        f"queue {queue_text(project)}",
    ]
    if project.get("last_error"):
        parts.append(f"trouble: {project['last_error']}")
    return "; ".join(parts)


def labelled_text(project: Mapping[str, Any], annotator: AnnotatorProgress | None) -> str:
    """Return how many tasks are labelled, and how far the scripted annotator is."""
    text = f"{project['labelled']:,} labelled"
    if annotator is not None and annotator.wanted:
        text += f" (annotator {annotator.done} of {annotator.wanted}"
        text += f", {annotator.note})" if annotator.note else ")"
    return text


def round_text(project: Mapping[str, Any]) -> str:
    """Return the newest round and what it is doing."""
    if not project["rounds"]:
        return "none yet"
    newest = project["rounds"][-1]
    stage = f" ({newest['stage']})" if newest.get("stage") else ""
    return f"{newest['number']} {newest['state']}{stage}"


def queue_text(project: Mapping[str, Any]) -> str:
    """Return how many tasks of each family wait in the queue."""
    queue = project["queue"]
    if not any(queue.values()):
        return "empty, so Label Studio serves random tasks"
    return ", ".join(f"{queue.get(family, 0)} {family}" for family in FAMILIES)


def accuracy_text(entry: Mapping[str, Any], split: str) -> str:
    """Return a round's accuracy on a split with the number of labels it stands on."""
    figures = (entry.get("metrics") or {}).get(split) or {}
    if figures.get("accuracy") is None:
        return "-"
    return f"{figures['accuracy']:.3f} on {figures.get('labelled', '?')}"


def control_text(entry: Mapping[str, Any]) -> str:
    """Return how often models were right on random tasks before they trained on them."""
    figures = ((entry.get("metrics") or {}).get("control") or {}).get("all") or {}
    if figures.get("value") is None:
        return "-"
    return f"{figures['value']:.3f} on {figures['items']}"


def finished_rounds(project: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rounds that have metrics."""
    return [entry for entry in project["rounds"] if entry.get("metrics")]
