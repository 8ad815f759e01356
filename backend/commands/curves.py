"""The curves of a project in a terminal: each validation set's accuracy, round by round."""

from typing import Any

from rich import box
from rich.table import Table

ROUNDS_SHOWN = 12


def curves_table(overview: dict[str, Any]) -> Table | None:
    """A row for each measured round, evenly chosen where there are many; None before the first."""
    measured = [record for record in overview["rounds"] if record["metrics"]]
    if not measured:
        return None
    table = Table(title="Accuracy, with 95% intervals", title_justify="left", box=box.SIMPLE)
    for heading in (
        "round", "labelled", "validation (a)", "(b) rolling", "(c) control", "test",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for record in _spread(measured):
        metrics = record["metrics"]
        control = metrics.get("control") or {}
        table.add_row(
            str(record["number"]),
            f"{record['labelled']:,}",
            _accuracy((metrics.get("validation") or {}).get("interval")),
            _accuracy((metrics.get("rolling") or {}).get("interval")),
            _accuracy(control.get("recent")),
            f"sealed, {(metrics.get('test') or {}).get('labelled', 0)} labelled",
        )
    return table


def _accuracy(interval: dict[str, Any] | None) -> str:
    if interval is None or interval["value"] is None:
        return "-"
    text = f"{interval['value']:.3f}"
    if interval["low"] is not None:
        text += f" ({interval['low']:.2f} to {interval['high']:.2f})"
    return f"{text} on {interval['items']}"


def _spread(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(records) <= ROUNDS_SHOWN:
        return records
    last = len(records) - 1
    return [records[round(n * last / (ROUNDS_SHOWN - 1))] for n in range(ROUNDS_SHOWN)]
