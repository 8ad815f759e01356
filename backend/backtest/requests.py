"""Backtests that are asked for over the API: what was asked, how far it is, and its result.

`<data folder>/backtest/requests/<id>/` holds `request.json`, then `prepared.json` once the data is
embedded, `error.txt` where it failed, and `result.json` at the end. The id is a digest of what was
asked, so that asking again goes on with the same backtest.
"""

import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import strategies
from backend.backtest.analysis import analyse
from backend.backtest.batches import make_batch
from backend.backtest.kept import DEFAULT_JOBS, Kept, in_batches
from backend.backtest.labelled_data import LabelledData
from backend.backtest.plan import (
    DEFAULT_SEEDS,
    DEFAULT_STRATEGIES,
    fitted_plan,
    named,
    specification,
)
from backend.backtest.reading import Source, read_data
from backend.backtest.runs import Run
from backend.backtest.written import read_strategies
from backend.errors import RequestError
from backend.settings import Settings, write_private_file
from strategies import GrammarError

COLUMNS = ("label_column", "text_column", "image_column", "group_column")
NUMBERS = {"batch": None, "budget": None, "seeds": DEFAULT_SEEDS, "group_limit": 1}
KNOWN = ("project", "rows", "strategies", "encoder", *COLUMNS, *NUMBERS)
MOST_SEEDS = 1_000
# Of one job, where its worker dies each time: it would die for ever, mostly for want of memory.
MOST_ATTEMPTS = 3


def ask(settings: Settings, document: Any) -> str:
    """Keep what was asked, forget an earlier failure of it, and give its id.

    Raises RequestError with the field that is wrong.
    """
    request = _checked(document)
    text = json.dumps(request, sort_keys=True)
    identifier = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = _folder(settings, identifier)
    write_private_file(folder / "request.json", text)
    # A project has perhaps other labels by now; what is the same is not made again.
    for name in ("error.txt", "result.json"):
        (folder / name).unlink(missing_ok=True)
    for counted in folder.glob("attempts *"):
        counted.unlink(missing_ok=True)
    return identifier


def prepare(settings: Settings, identifier: str, of_project: Callable[[int], LabelledData]) -> int:
    """Read and embed the data; how many batches of runs are to be made.

    Raises BacktestError where the data does not do.
    """
    folder = _folder(settings, identifier)
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    chosen = named(request["strategies"])
    if request["project"] is not None:
        data = of_project(request["project"])
    else:
        rows = folder / "rows.jsonl"
        write_private_file(rows, "\n".join(json.dumps(row) for row in request["rows"]))
        source = Source(
            rows,
            label=request["label_column"],
            text=request["text_column"],
            group=request["group_column"],
            encoder=request["encoder"],
            may_read_files=False,
        )
        parsed = [strategies.parse(spec) for spec in chosen.values()]
        tell = partial(_tell, folder / "contents.json")
        data = read_data(source, settings.embeddings_dir, tell, strategies=parsed)
    plan, notes = fitted_plan(
        data,
        request["batch"],
        request["budget"],
        request["group_limit"],
        seeds=request["seeds"],
    )
    for spec in chosen.values():
        specification(spec, data, plan)
    kept = Kept.of(settings.data_dir / "backtest", data, plan)
    prepared = {"folder": str(kept.folder), "strategies": chosen, "notes": notes}
    prepared |= {"seeds": request["seeds"]}
    write_private_file(folder / "prepared.json", json.dumps(prepared))
    return len(in_batches(_runs(prepared), DEFAULT_JOBS))


def _tell(path: Path, done: int, total: int) -> None:
    """Note how many contents are embedded, once a second or so."""
    if done == total or not path.exists() or path.stat().st_mtime < time.time() - 1:
        write_private_file(path, json.dumps({"done": done, "total": total}))


def make(settings: Settings, identifier: str, number: int) -> None:
    """Make one batch of runs, those that are not kept yet, and the result once all are there."""
    folder = _folder(settings, identifier)
    prepared = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
    kept = Kept(Path(prepared["folder"]))
    runs = _runs(prepared)
    problem = make_batch(kept.folder, in_batches(runs, DEFAULT_JOBS)[number])
    (folder / f"attempts {number}").unlink(missing_ok=True)
    if problem is not None:
        fail(settings, identifier, problem)
    elif all(kept.has(run) for run in runs):
        outcomes = {
            name: [kept.outcome(Run(spec, seed)) for seed in range(prepared["seeds"])]
            for name, spec in prepared["strategies"].items()
        }
        found = analyse(kept.data(), kept.plan(), outcomes, prepared["notes"])
        write_private_file(folder / "result.json", json.dumps(found.document()))


def attempt(settings: Settings, identifier: str, number: int) -> bool:
    """Note that a job begins; whether it may, for one whose worker died too often may not."""
    path = _folder(settings, identifier) / f"attempts {number}"
    made = int(path.read_text(encoding="utf-8")) if path.exists() else 0
    if made >= MOST_ATTEMPTS:
        why = (
            f"Its worker died {made} times, perhaps for want of memory; ask for it again with "
            "fewer items or strategies, or run `asknext backtest` where there is more."
        )
        fail(settings, identifier, why)
        return False
    write_private_file(path, str(made + 1))
    return True


def fail(settings: Settings, identifier: str, why: str) -> None:
    """Note why a backtest ended."""
    write_private_file(_folder(settings, identifier) / "error.txt", why)


def state_of(settings: Settings, identifier: str) -> dict[str, Any]:
    """`state` (waiting, running, done or failed), the runs `done` of `total`, `result`, `error`.

    `contents` are those embedded so far, `done` of `total`; None where all were known.

    Raises RequestError for an id that nobody asked for.
    """
    folder = _folder(settings, identifier)
    if not identifier.isalnum() or not (folder / "request.json").exists():
        raise RequestError(
            "id", f"There is no backtest {identifier}.", "POST /api/backtests starts one.", 404
        )
    found: dict[str, Any] = {"id": identifier, "state": "waiting", "done": 0, "total": None}
    found |= {"contents": None, "result": None, "error": None}
    if (folder / "contents.json").exists():
        found["contents"] = json.loads((folder / "contents.json").read_text(encoding="utf-8"))
    if (folder / "prepared.json").exists():
        prepared = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
        runs, kept = _runs(prepared), Kept(Path(prepared["folder"]))
        done = sum(kept.has(run) for run in runs)
        found |= {"state": "running", "done": done, "total": len(runs)}
    if (folder / "error.txt").exists():
        found |= {"state": "failed", "error": (folder / "error.txt").read_text(encoding="utf-8")}
    elif (folder / "result.json").exists():
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        found |= {"state": "done", "result": result}
    return found


def _runs(prepared: dict[str, Any]) -> list[Run]:
    return [
        Run(spec, seed)
        for seed in range(prepared["seeds"])
        for spec in prepared["strategies"].values()
    ]


def _folder(settings: Settings, identifier: str) -> Path:
    return settings.data_dir / "backtest" / "requests" / identifier


def _checked(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise RequestError("body", "It is no JSON object.", 'Send {"project": 3}.')
    for name in document:
        if name not in KNOWN:
            raise RequestError(name, "There is no such field.", f"Known are {', '.join(KNOWN)}.")
    request: dict[str, Any] = {name: document.get(name) for name in KNOWN}
    project, rows = request["project"], request["rows"]
    if (project is None) == (rows is None):
        raise RequestError("project", "Name either project or rows.", 'Send {"project": 3}.')
    if project is not None and (not isinstance(project, int) or isinstance(project, bool)):
        raise RequestError("project", "It is no number.", "Give Label Studio's number.")
    if rows is not None and not (
        isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    ):
        raise RequestError("rows", "It is no list of objects.", 'Send [{"text": …, "label": …}].')
    if request["image_column"] is not None:
        raise RequestError("image_column", "Images have paths here.", "Use `asknext backtest`.")
    for name in (*COLUMNS, "encoder"):
        if request[name] is not None and not isinstance(request[name], str):
            raise RequestError(name, "It is no text.", "Name a column, or an encoder.")
    request["encoder"] = request["encoder"] or "auto"
    for name, default in NUMBERS.items():
        value = default if request[name] is None else request[name]
        if value is not None and (
            not isinstance(value, int) or isinstance(value, bool) or value < 1
        ):
            raise RequestError(name, "It is no whole number above 0.", "Give one, or leave it out.")
        request[name] = value
    if request["seeds"] > MOST_SEEDS:
        raise RequestError("seeds", "Too many.", f"Give at most {MOST_SEEDS}.")
    request["strategies"] = _strategies(request["strategies"])
    return request


def _strategies(written: Any) -> list[Any]:
    if written is None:
        return list(DEFAULT_STRATEGIES)
    listed = list(read_strategies(written).values()) if isinstance(written, str) else written
    if not isinstance(listed, list):
        raise RequestError("strategies", "It is no list.", 'Send ["auto", "margin"].')
    try:
        named(listed)
    except GrammarError as error:
        raise RequestError(error.path, error.message, "See docs/strategies.md.") from error
    return listed
