"""Seconds and peak memory of a round on 100,000 tasks in a real Label Studio.

    make bench-round                       # 100,000 tasks, rounds at 500 and 5,000 labels
    make bench-round ARGS="--tasks 10000"  # a quick look

Beside each figure stands what Label Studio's own API needs for the same step on the same machine
in the same run, since that is what a round waits for.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from demo.datasets import news
from demo.labelstudio_server import Account, LabelStudioServer
from demo.labelstudio_session import LabelStudioSession, choice_result
from demo.processes import ServerProcess, free_port

ROOT = Path(__file__).resolve().parent.parent
IMPORT_AT_ONCE = 25_000
REPEATS = 3
LEAST_CHARACTERS = 20
console = Console()


def snippets(count: int) -> list[tuple[str, str]]:
    """(text, class) of `count` distinct passages of two or three sentences of real news."""
    dataset = news()
    found: dict[str, str] = {}
    for size in (2, 3, 1, 4):
        for task in dataset.tasks:
            text, label = task["text"], dataset.truth[task["source_id"]]
            sentences = [part.strip() for part in text.replace("\n", " ").split(". ")]
            for start in range(len(sentences) - size + 1):
                passage = ". ".join(sentences[start : start + size]).strip()
                if len(passage) >= LEAST_CHARACTERS:
                    found.setdefault(passage, label)
            if len(found) >= 2 * count:
                break
        if len(found) >= count:
            break
    items = list(found.items())
    random.Random(0).shuffle(items)
    if len(items) < count:
        raise SystemExit(f"Only {len(items)} passages can be made; ask for fewer --tasks.")
    return items[:count]


class AskNext:
    """One installation, started with `asknext up`, and its API."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "backend.cli"]
        self.command = command
        self.process = ServerProcess(
            "AskNext",
            [*command, "up", "--data-dir", str(folder), "--port", str(port)],
            folder.parent / "asknext.log",
            environment=dict(os.environ),
            directory=ROOT,
        )

    def start(self) -> None:
        self.process.start()
        until = time.monotonic() + 90
        while time.monotonic() < until:
            try:
                if self.get("/health"):
                    return
            except (httpx.HTTPError, FileNotFoundError):
                time.sleep(0.3)
        raise self.process.failure("did not answer")

    def get(self, path: str) -> Any:
        kept = json.loads((self.folder / "credentials.json").read_text())
        answer = httpx.get(f"{self.url}{path}", auth=(kept["user"], kept["password"]), timeout=120)
        answer.raise_for_status()
        return answer.json()

    def run(self, *arguments: str, **environment: str) -> None:
        subprocess.run(
            [*self.command, *arguments, "--data-dir", str(self.folder)],
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )


def timed(action: Callable[[], Any], repeats: int = REPEATS) -> float:
    """The median of some runs, in seconds."""
    seconds = []
    for _ in range(repeats):
        started = time.monotonic()
        action()
        seconds.append(time.monotonic() - started)
    return sorted(seconds)[len(seconds) // 2]


def wait_for(what: str, condition: Callable[[], bool], limit: float = 3600) -> float:
    """Wait until `condition` holds; the seconds it took."""
    started = time.monotonic()
    with console.status(what):
        while not condition():
            if time.monotonic() - started > limit:
                raise SystemExit(f"{what}: not done after {limit:.0f} s.")
            time.sleep(0.5)
    return time.monotonic() - started


def import_all(
    session: LabelStudioSession, project: int, items: list[tuple[str, str]], labelled: int
) -> None:
    """Import `items`; the first `labelled` come with their annotation."""
    for start in range(0, len(items), IMPORT_AT_ONCE):
        body = []
        for index, (text, label) in enumerate(items[start : start + IMPORT_AT_ONCE], start):
            task: dict[str, Any] = {"data": {"text": text}}
            if index < labelled:
                task["annotations"] = [{"result": choice_result("class", "text", label)}]
            body.append(task)
        session.request("POST", f"/api/projects/{project}/import", body)


def rounds(asknext: AskNext, project: int, repeats: int) -> Iterator[dict[str, Any]]:
    """Ask for rounds and yield what each recorded."""
    for _ in range(repeats):
        asknext.run("rank", "--project", str(project), "--wait")
        yield asknext.get(f"/api/projects/{project}")["rounds"][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--labels", type=int, nargs=2, default=(500, 5000))
    parser.add_argument("--strategy", default="auto", help="a name or a JSON specification")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data-dir", type=Path, default=ROOT / "benchmark-data" / "round")
    options = parser.parse_args()
    shutil.rmtree(options.data_dir, ignore_errors=True)
    few, many = options.labels
    items = snippets(options.tasks)
    classes = sorted({label for _, label in items})
    account = Account("bench@example.com", "benchmark-1234")
    server = LabelStudioServer(options.data_dir / "label-studio", free_port(), account)
    asknext = AskNext(options.data_dir / "asknext", free_port())
    report: dict[str, Any] = {"tasks": options.tasks, "steps": {}, "rounds": []}
    try:
        server.start()
        asknext.start()
        server.wait_until_ready()
        session = LabelStudioSession.log_in(server.url, account)
        choices = "".join(f'<Choice value="{name}"/>' for name in classes)
        project = session.create_project(
            "Benchmark",
            '<View><Text name="text" value="$text"/>'
            f'<Choices name="class" toName="text" choice="single">{choices}</Choices></View>',
        )
        steps = report["steps"]
        later = many - few
        started = time.monotonic()
        import_all(session, project, items[later:], few)
        steps["Label Studio: import of the tasks"] = time.monotonic() - started
        started = time.monotonic()
        asknext.run(
            "connect", "--url", server.url, "--project", str(project), "--no-wait",
            "--config",
            json.dumps({"encoder": "static", "budget": 20_000, "strategy": options.strategy}),
            LABEL_STUDIO_TOKEN=session.token,
        )  # fmt: skip
        steps["connect"] = time.monotonic() - started

        def state() -> dict[str, Any]:
            return dict(asknext.get(f"/api/projects/{project}"))

        pool = len(items) - later
        steps["first sync"] = wait_for("First sync", lambda: state()["queue_version"] is not None)
        steps["static embeddings of the pool"] = wait_for(
            "Embedding", lambda: state()["embedded"] >= pool
        )
        wait_for("Hold-outs", lambda: state()["holdout"]["era"] > 0)
        for round_ in rounds(asknext, project, REPEATS):
            report["rounds"].append({"labels": few, **round_})
        import_all(session, project, items[:later], later)
        wait_for("Second sync", lambda: state()["labelled"] >= many)
        wait_for("Embedding", lambda: state()["embedded"] >= len(items))
        for round_ in rounds(asknext, project, REPEATS):
            report["rounds"].append({"labels": many, **round_})
        report["label_studio"] = own_times(session, project)
    finally:
        asknext.process.stop()
        server.stop()
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


def own_times(session: LabelStudioSession, project: int) -> dict[str, float]:
    """What the steps of a round cost in Label Studio alone, in seconds."""
    ids = [task["id"] for task, _ in zip(session.tasks(project), range(100), strict=False)]
    version = "benchmark-own-times"

    def import_window() -> None:
        session.request(
            "POST",
            f"/api/projects/{project}/import/predictions",
            [
                {"task": task, "result": [], "score": n, "model_version": version}
                for n, task in enumerate(ids)
            ],
        )

    def changed() -> None:
        session.request(
            "GET",
            f"/api/tasks?project={project}&fields=task_only&include=id,updated_at&page_size=1"
            "&query=%7B%22ordering%22%3A%5B%22-tasks%3Aupdated_at%22%5D%7D",
        )

    before = session.project(project)["model_version"]
    return {
        "GET the project": timed(lambda: session.project(project)),
        "newest change (GET tasks)": timed(changed),
        "import of 100 predictions": timed(import_window),
        "PATCH of model_version": timed(
            lambda: session.request("PATCH", f"/api/projects/{project}/", {"model_version": before})
        ),
        "GET next": timed(lambda: session.next_task(project)),
    }


def show(report: dict[str, Any]) -> None:
    """Print the figures as tables."""
    table = Table(title=f"Once, {report['tasks']:,} tasks", title_justify="left")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    for name, seconds in report["steps"].items():
        table.add_row(name, f"{seconds:.1f}")
    console.print(table)
    stages = ("sync", "embed", "train", "evaluate", "rank", "publish")
    table = Table(title="Rounds: seconds (peak MB)", title_justify="left")
    for column in ("labels", "round", *stages, "together"):
        table.add_column(column, justify="right")
    for round_ in report["rounds"]:
        seconds, peaks = round_["seconds"], round_.get("peak_megabytes", {})
        cells = [
            f"{seconds.get(s, 0.0):.2f}" + (f" ({peaks[s]})" if s in peaks else "") for s in stages
        ]
        table.add_row(
            str(round_["labels"]),
            str(round_["number"]),
            *cells,
            f"{sum(seconds.values()):.1f}",
        )
    console.print(table)
    table = Table(title="Label Studio's own API, medians", title_justify="left")
    table.add_column("call")
    table.add_column("seconds", justify="right")
    for name, seconds in report["label_studio"].items():
        table.add_row(name, f"{seconds:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
