"""The report: tables for the eye, JSON for everything else."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.selection.comparison import Row
from benchmarks.selection.job import Measurement

COLUMNS = (
    ("strategy", "left"),
    ("n", "right"),
    ("size", "right"),
    ("contender", "left"),
    ("seconds", "right"),
    ("ratio", "right"),
    ("extra MB", "right"),
    ("exact", "left"),
    ("objective", "right"),
    ("remark", "left"),
)


def table(rows: Iterable[Row], title: str) -> Table:
    """One line for each contender; a ratio above 1 says how much faster AskNext was."""
    shown = Table(title=title, title_justify="left")
    for name, side in COLUMNS:
        shown.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    before = None
    for row in rows:
        job = row.measurement.job
        if before is not None and before != job.strategy:
            shown.add_section()
        before = job.strategy
        shown.add_row(
            job.strategy,
            f"{job.n:,}",
            f"{job.size:,}",
            job.contender + ("" if job.labelled else " (nothing labelled)"),
            seconds(row.measurement),
            "" if row.ratio is None or job.role == "asknext" else f"{row.ratio:,.1f} ×",
            megabytes(row.measurement.extra_bytes),
            str(row.judgement.get("exact", "")),
            objective(row.judgement),
            remark(row),
        )
    return shown


def seconds(found: Measurement) -> str:
    """Three digits, or what happened instead."""
    if found.seconds is None:
        words = {"time": "too slow", "memory": "out of memory"}
        return words.get(found.outcome, found.outcome)
    shown = f"{found.seconds:,.0f}" if found.seconds >= 100 else f"{found.seconds:.3g}"
    return f"≈ {shown}" if found.done < 1.0 else shown


def megabytes(extra: int | None) -> str:
    """10^6 bytes."""
    return "" if extra is None else f"{extra / 1e6:,.0f}"


def objective(judgement: dict[str, Any]) -> str:
    """The value and its name, with an arrow to where better is."""
    if "value" not in judgement:
        return ""
    arrow = "↓" if judgement["better"] == "lower" else "↑"
    return f"{judgement['objective']} {judgement['value']:.5g} {arrow}"


def remark(row: Row) -> str:
    """Why an answer is not exact, why a run did not finish, or what was extrapolated."""
    parts = [str(row.judgement.get("why", "")), row.measurement.message.splitlines()[-1:]]
    words = [part if isinstance(part, str) else " ".join(part) for part in parts]
    return "; ".join(word for word in words if word)[:160]


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Every row with all that was measured."""
    return [
        {
            **asdict(row.measurement),
            "contender": row.measurement.job.contender,
            "ratio": row.ratio,
            "judgement": row.judgement,
        }
        for row in rows
    ]


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the whole report."""
    path.write_text(json.dumps(content, indent=2) + "\n")


def machine_lines(console: Console, machine: dict[str, Any], dense: float, n: int, d: int) -> None:
    """What the machine can do, beside which the seconds are to be read."""
    console.print(
        f"{machine['processor']}, {machine['cores']} cores, one thread: "
        f"{machine['gemm_flops'] / 1e9:.0f} GFLOP/s in float32 products (NumPy "
        f"{machine['numpy']}, Python {machine['python']})."
    )
    console.print(
        f"All products of {n:,} items of {d} dimensions, 2 n² d, take {dense:.1f} s at that rate: "
        "the dense arithmetic time of facility location and herding."
    )
