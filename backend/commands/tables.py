"""How overviews look in a terminal."""

import time
from datetime import datetime
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

STATE_STYLES = {"active": "green", "paused": "yellow", "disconnected": "dim", "archived": "dim"}
EVENTS_SHOWN = 3
BAR_WIDTH = 20


def installation_line(document: dict[str, Any]) -> str:
    """The engine and the workers, in one line."""
    engine = "[green]answers[/]" if document["engine"] else "[red]does not answer[/]"
    workers = document["workers"]
    if workers:
        served = "; ".join(
            f"{','.join(name.removeprefix('asknext-') for name in worker['queues'])} "
            f"{worker['state'].split('.')[-1].lower()}"
            for worker in sorted(workers, key=lambda worker: str(worker["queues"]))
        )
        alive = f"[green]{len(workers)}[/] ({escape(served)})"
    else:
        alive = "[red]none: start `asknext up`[/]"
    return f"Queue engine {engine} · workers {alive} · {escape(document['data_dir'])}"


def project_table(overview: dict[str, Any]) -> Table:
    """One project, a row for each thing that an admin asks about."""
    style = STATE_STYLES.get(overview["state"], "red")
    table = Table(
        title=f"[bold]{escape(overview['title'] or '?')}[/] (project {overview['id']}, "
        f"{overview['kind'] or 'nothing to learn'}, [{style}]{overview['state']}[/])",
        title_justify="left",
        show_header=False,
        box=box.ROUNDED,
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(overview):
        table.add_row(name, value)
    return table


def _rows(overview: dict[str, Any]) -> list[tuple[str, str]]:
    queue, holdout = overview["queue"], overview["holdout"]
    budget = overview["budget"] or 0
    rows = [
        (
            "Labelled",
            f"{overview['labelled']:,} tasks by {overview['annotations']:,} annotations"
            f" · {overview['skipped']:,} skipped · {overview['unsettled']:,} unsettled",
        ),
        ("Budget", _budget_line(overview["spent"])),
        (
            "Embedded",
            f"{_bar(overview['embedded'], overview['pool'])} {overview['embedded']:,} of "
            f"{overview['pool']:,}"
            + (f" · {overview['unreadable']:,} unreadable" if overview["unreadable"] else ""),
        ),
        (
            "Queue",
            f"{queue['strategy']} strategy, {queue['random']} random, {queue['test']} test, "
            f"{queue['validation']} validation · {overview['queue_version'] or 'not published'}",
        ),
        *(("Rule", _rule_line(rule)) for rule in overview["rules"]),
        (
            "Hold-outs",
            f"test {_share(holdout['test'])}, validation {_share(holdout['validation'])} labelled"
            + _precision(holdout)
            + (
                f" · era {holdout['era']}, manifest {holdout['digest'][:12]}, test curve opened "
                f"{holdout['looks']} times"
                if holdout.get("digest")
                else ""
            ),
        ),
        ("Leak guard", _guard_line(overview["rounds"])),
        ("Control", _control_line(overview)),
        ("People", _people_line(overview["rounds"])),
        ("Lift", _lift_line(overview)),
        ("Evaluation", _ledger_line(overview["ledger"], budget)),
        *_reference_row(overview),
        ("Stopping", _stopping_line(overview["rounds"])),
        ("Round", _round_line(overview)),
        ("Quality", _quality(overview["rounds"])),
        ("Now", _work_line(overview["work"])),
    ]
    if overview["last_error"]:
        rows.append(
            ("Last error", f"[red]{_moment(overview['last_error_at'])} "
             f"{escape(overview['last_error'])}[/]")
        )  # fmt: skip
    if overview["config_refusal"]:
        rows.append(("Refused", f"[red]{escape(overview['config_refusal'])}[/]"))
    rows += [("Note", f"[yellow]{escape(text)}[/]") for text in overview["warnings"]]
    for event in overview["events"][:EVENTS_SHOWN]:
        colour = {"error": "red", "warning": "yellow"}.get(event["level"], "dim")
        rows.append(("Event", f"[{colour}]{_moment(event['at'])} {escape(event['message'])}[/]"))
    return rows


def describe_round(record: dict[str, Any]) -> str:
    """A finished round in one line, as console markup."""
    seconds = sum((record["seconds"] or {}).values())
    line = (
        f"round {record['number']} with {record['labelled']:,} labelled "
        f"({record['trained_on']:,} trained on), {_strategy(record['strategy'])}, {seconds:.1f} s"
    )
    quality = _measured(record["metrics"] or {})
    return line + (f" · {quality}" if quality else "")


def describe_progress(progress: dict[str, Any]) -> str:
    """What a piece of work is doing, from what it reported last."""
    words = [str(progress[key]) for key in ("stage", "what") if progress.get(key)]
    text = ": ".join(words) or "starting"
    done, total = progress.get("done"), progress.get("total")
    if done is not None and total:
        return f"{text} {int(done):,} of {int(total):,}"
    return f"{text} {int(done):,}" if done is not None else text


def _precision(holdout: dict[str, Any]) -> str:
    width = (holdout.get("precision") or {}).get("half_width")
    return "" if width is None else f" · the test set will measure to ±{100 * width:.1f} points"


def _rule_line(rule: dict[str, Any]) -> str:
    """A rule by hand: the tab that makes it, and what it matches."""
    title = escape(rule["title"])
    if rule["error"]:
        return f"{title} · [yellow]not in force[/]"
    return f"{title} · {rule['matched']:,} tasks"


def _round_line(overview: dict[str, Any]) -> str:
    rounds = overview["rounds"]
    if not rounds:
        return "none yet"
    last = rounds[-1]
    if last["state"] == "running":
        text = f"round {last['number']} is running: {last['stage']}"
        return text + (f" · [red]{escape(last['error'])}[/]" if last["error"] else "")
    text = describe_round(last).split(" · ")[0]
    return f"{text}, {_moment(last['finished_at'])}" + (
        f" · [yellow]{escape(last['note'])}[/]" if last["note"] else ""
    )


def _quality(rounds: list[dict[str, Any]]) -> str:
    measured = next((r for r in reversed(rounds) if r["metrics"]), None)
    if measured is None:
        return "not measured yet"
    return _measured(measured["metrics"]) or "no hold-out is labelled yet"


def _measured(metrics: dict[str, Any]) -> str:
    parts = []
    for role, name in (("validation", "validation"), ("rolling", "the strategy's blind picks")):
        split = metrics.get(role) or {}
        if split.get("accuracy") is None:
            continue
        parts.append(
            f"{name}: accuracy {split['accuracy']:.3f}, macro-F1 {split['macro_f1']:.3f} "
            f"on {split['labelled']} labelled"
        )
    return " · ".join(parts)


def _budget_line(spent: dict[str, Any]) -> str:
    """Submitted annotations and hours against the budget, and when it ends at this pace."""
    text = (
        f"{_bar(spent['annotations'], spent['budget'])} {spent['annotations']:,} of "
        f"{spent['budget']:,} annotations · {spent['hours']:.1f}"
        + (f" of {spent['budget_hours']:g}" if spent["budget_hours"] else "")
        + " hours"
    )
    if spent["finish_at"]:
        text += f" · {spent['per_day']:.0f} a day, done on {spent['finish_at'][:10]}"
    return text


def _control_line(overview: dict[str, Any]) -> str:
    """The random control: how much of it is labelled, and how often the model was right on it."""
    text = f"random {_share(overview['holdout']['control'])} labelled"
    figures = next(
        (r["metrics"]["control"] for r in reversed(overview["rounds"])
         if "control" in (r["metrics"] or {})),
        None,
    )  # fmt: skip
    if figures is None:
        return text
    for name, words in (("recent", f"last {figures['rounds']} rounds"), ("all", "all rounds")):
        found = figures[name]
        if found["low"] is not None:
            text += (
                f" · {words}: accuracy before training {found['value']:.3f} "
                f"({found['low']:.3f} to {found['high']:.3f}) on {found['items']}"
            )
        powered = (figures.get("powered") or {}).get(name)
        if powered and powered["low"] is not None:
            text += (
                f", with the model's confidence {powered['value']:.3f} "
                f"({powered['low']:.3f} to {powered['high']:.3f})"
            )
    return text


def _guard_line(rounds: list[dict[str, Any]]) -> str:
    """What is too close to a hold-out to train, and how that part differs from the rest."""
    found = next(
        (r["metrics"]["leak_guard"] for r in reversed(rounds)
         if "leak_guard" in (r["metrics"] or {})),
        None,
    )  # fmt: skip
    if found is None:
        return "not measured yet"
    text = f"{found['blocked']:,} tasks ({found['share']:.1%}) are too close to a hold-out to train"
    shift = found.get("shift")
    if shift:
        text += f" · they differ by {shift['value']:+.2f} sd at most ({escape(shift['name'])})"
    return f"{text} · near from a cosine of {found['threshold']:.3f}"


def _people_line(rounds: list[dict[str, Any]]) -> str:
    """How far two people agree on the same tasks: the ceiling of every figure of the model."""
    figures = next(
        (r["metrics"]["people"] for r in reversed(rounds) if "people" in (r["metrics"] or {})), None
    )
    if figures is None or not (figures["planned"] or figures["agreement"]["items"]):
        return "no task is asked of two"
    text = f"{figures['answered']} of {figures['planned']} tasks were labelled by two"
    found = figures["agreement"]
    if found["kappa"] is not None and found["low"] is not None:
        text += (
            f" · they agree on {found['observed']:.0%} of {found['items']}, kappa "
            f"{found['kappa']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
        )
    return text


def _lift_line(overview: dict[str, Any]) -> str:
    """The newest comparison of the strategy with chance."""
    comparisons = overview["holdout"].get("comparisons") or []
    if not comparisons:
        # A look that had too few blocks is taken again in the next round.
        made = [(r["metrics"] or {}).get("comparison") for r in overview["rounds"]]
        if made and made[-1]:
            return escape(made[-1]["sentence"])
        return "not looked at yet: the first look is at 20 random control labels"
    last = comparisons[-1]
    text = f"{escape(last['sentence'])} Look {last['look']} of {last['looks_planned']}"
    if last.get("era", overview["holdout"]["era"]) != overview["holdout"]["era"]:
        text += f" in era {last['era']}; of this one there is none yet"
    for part in last.get("branches") or []:
        text += f" · {escape(part['branch'])}: {escape(part['sentence'])}"
    saved = last["labels_saved"]
    if saved["share"] is not None and (saved["low"], saved["high"]) == (-1.0, 1.0):
        text += " · labels saved: anything from -100% to 100%"
    elif saved["share"] is not None:
        text += f" · labels saved {saved['share']:.0%}"
        if saved["low"] is not None:
            text += f" ({saved['low']:.0%} to {saved['high']:.0%})"
    rare = last["rare"]
    if rare and rare["strategy"] is not None:
        text += (
            f" · {escape(rare['class'])} per 100 labels: {rare['strategy']:.1f}, "
            f"random {rare['control']:.1f}"
        )
    return text


def _reference_row(overview: dict[str, Any]) -> list[tuple[str, str]]:
    """How the project differs from where the model will be used, and the accuracy there."""
    if not overview["config"].get("reference"):
        return []
    figures = next(
        (r["metrics"]["reference"] for r in reversed(overview["rounds"])
         if (r["metrics"] or {}).get("reference")),
        None,
    )  # fmt: skip
    if figures is None:
        return [("Reference", "compared by the next round")]
    note = f" · {figures['note']}" if figures["note"] and figures.get("sets") else ""
    return [("Reference", escape(figures["text"] + note))]


def _stopping_line(rounds: list[dict[str, Any]]) -> str:
    """Advice to stop, or the figures that it would rest on."""
    figures = next(
        (r["metrics"]["stopping"] for r in reversed(rounds) if "stopping" in (r["metrics"] or {})),
        None,
    )
    if figures is None:
        return "no advice yet"
    parts = [escape(text) for text in figures["advice"]] or ["no sign to stop"]
    stability, gain, expected = figures["stability"], figures["gain"], figures["forecast"]
    if stability and stability["kappa"] is not None:
        parts.append(f"kappa between models {stability['kappa']:.3f}")
    if gain and gain["upper"] is not None:
        parts.append(
            f"100 labels gained {100 * gain['per_100']:+.2f} points lately, at most "
            f"{100 * gain['upper']:+.2f}"
        )
    if expected and expected["value"] is not None:
        parts.append(
            f"at {expected['labels']:,} labels accuracy {expected['value']:.3f} "
            f"({expected['low']:.3f} to {expected['high']:.3f}) is expected"
        )
    return " · ".join(parts)


def _ledger_line(ledger: dict[str, Any], budget: int) -> str:
    return (
        f"{ledger['labels']:,} labels spent on measuring, {ledger['planned']:,} planned: "
        f"{ledger['planned_share']:.0%} of {budget:,} (at most {ledger['cap']:.0%})"
    )


def _work_line(work: dict[str, Any]) -> str:
    parts = []
    for kind, row in work.items():
        if row["running"]:
            text = describe_progress({k: v for k, v in row["progress"].items() if k != "round"})
            parts.append(text if text.startswith(kind) else f"{kind}: {text}")
        elif row["waiting"]:
            parts.append(f"{kind} waits")
    return escape(" · ".join(parts)) or "nothing to do"


def _share(split: dict[str, int]) -> str:
    return f"{split['labelled']} of {split['size']}"


def _bar(done: int, total: int) -> str:
    filled = round(BAR_WIDTH * min(done / total, 1.0)) if total else 0
    return f"[green]{'━' * filled}[/][dim]{'━' * (BAR_WIDTH - filled)}[/]"


def _strategy(text: str) -> str:
    return escape(text or "no strategy")


def _moment(at: float | None) -> str:
    if at is None:
        return ""
    form = "%H:%M:%S" if time.time() - at < 20 * 3600 else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(at).strftime(form)
