"""The report of a backtest: one HTML page that needs nothing else, with its curves as SVG."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from backend.backtest.analysis import Analysis, Measured
from backend.backtest.comparison import Estimate
from backend.backtest.plan import RANDOM

_COLOURS = ("#0b6e99", "#d9480f", "#2b8a3e", "#862e9c", "#c2255c", "#5f3dc4", "#946200", "#087f5b")
_RANDOM_COLOUR = "#6b7280"
_WIDTH, _HEIGHT = 720, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 28, 14, 40

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d8dee6;
        --page: #ffffff; --panel: #f5f7fa; --good: #2b8a3e; --bad: #c92a2a }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --line: #333c49;
        --page: #14181f; --panel: #1c222b; --good: #69db7c; --bad: #ff8787 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
       max-width: 60rem; margin: 2.5rem auto; padding: 0 1.25rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
.facts, .note, figcaption { color: var(--soft); font-size: .9rem }
.advice { background: var(--panel); border-left: 4px solid var(--good); padding: .9rem 1.1rem;
          border-radius: 4px; margin: 1.2rem 0; font-size: 1.05rem }
.advice.none { border-color: var(--soft) }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--line); text-align: right }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere }
th { font-weight: 600; font-size: .85rem; color: var(--soft) }
td small { color: var(--soft); display: block }
.up { color: var(--good) } .down { color: var(--bad) }
svg { width: 100%; height: auto } svg text { fill: var(--soft); font-size: 12px }
figure { margin: 0 } .key { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; font-size: .9rem }
.key span::before { content: ""; display: inline-block; width: 1.1rem; height: 3px;
                    background: var(--colour); margin-right: .45rem; vertical-align: middle }
.wide { overflow-x: auto } code { overflow-wrap: anywhere }
"""


def report_html(found: Analysis, source: str) -> str:
    """The page; `source` says what was tested."""
    colours = _colours(list(found.strategies))
    advice = found.recommendation
    key = "".join(
        f'<span style="--colour:{colour}">{escape(name)}</span>' for name, colour in colours.items()
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Backtest: {escape(source)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body><h1>Backtest: {escape(source)}</h1>
<p class="facts">{found.items:,} items, {found.classes} classes, {found.seeds} seeds,
{found.test_items:,} test items a seed; batches of {found.plan.batch} up to
{found.plan.budget:,} labels.</p>
<div class="advice{"" if advice.strategy else " none"}">{escape(advice.text)}</div>
<div class="key">{key}</div>
<h2>Accuracy</h2>{_chart(found, colours, "accuracy")}
<h2>Macro-F1</h2>{_chart(found, colours, "macro_f1")}
<h2>Difference to random selection</h2><div class="wide">{_table(found.strategies)}</div>
<p class="note">Mean height of the learning curve minus random's, in points, paired by seed, with
95% intervals over seeds and test items. “Told apart” is Holm's test over all strategies at 5%;
“visible” is the smallest true difference that it would see with 80% probability. Labels saved:
how many fewer labels than random's reach the accuracy that both end with; negative: more.</p>
<h2>Notes</h2><ul class="note">{notes}
<li>Test sets: <code>{found.test_hash}</code></li></ul></body></html>
"""


def _colours(names: Sequence[str]) -> dict[str, str]:
    others = [name for name in names if name != RANDOM]
    found = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(others)}
    return found | {RANDOM: _RANDOM_COLOUR}


def _table(strategies: Mapping[str, Measured]) -> str:
    words = {1: '<span class="up">better</span>', -1: '<span class="down">worse</span>', 0: "no"}
    rows = []
    for name, one in sorted(strategies.items(), key=lambda item: -item[1].accuracy.mean):
        if name == RANDOM:
            continue
        visible = "" if one.detectable is None else f"{100 * one.detectable:.1f}"
        rows.append(
            f"<tr><td>{escape(name)}</td><td>{_cell(one.accuracy, 1)}</td>"
            f"<td>{words[one.told_apart]}</td><td>{visible}</td><td>{_cell(one.macro_f1, 1)}</td>"
            f"<td>{_cell(one.saved, 0, ' %')}</td></tr>"
        )
    return (
        "<table><thead><tr><th>strategy</th><th>accuracy</th><th>told apart</th><th>visible</th>"
        f"<th>macro-F1</th><th>labels saved</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(found: Estimate, digits: int, unit: str = "") -> str:
    text = f"{100 * found.mean:+.{digits}f}{unit}"
    if found.low is None or found.high is None:
        return text
    return f"{text}<small>{100 * found.low:+.{digits}f} … {100 * found.high:+.{digits}f}</small>"


def _chart(found: Analysis, colours: Mapping[str, str], what: str) -> str:
    """The mean curves over the seeds, each with a band of twice its standard error."""
    points = np.array(found.plan.points, dtype=np.float64)
    curves = {name: getattr(one.curves, what) for name, one in found.strategies.items()}
    means = {name: values.mean(axis=0) for name, values in curves.items()}
    low = min(float(mean.min()) for mean in means.values())
    high = max(float(mean.max()) for mean in means.values())
    space = max(high - low, 0.02) * 0.08
    low, high = max(low - space, 0.0), min(high + space, 1.0)

    def x(value: float) -> float:
        span = max(points[-1] - points[0], 1.0)
        return float(_LEFT + (value - points[0]) / span * (_WIDTH - _LEFT - _RIGHT))

    def y(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return float(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM))

    parts = []
    for tick in _ticks(low, high, 5):
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'stroke="var(--line)"/><text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" '
            f'text-anchor="end">{tick:.3g}</text>'
        )
    for tick in _ticks(points[0], points[-1], 8):
        parts.append(
            f'<text x="{x(tick):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
            f"{tick:,.0f}</text>"
        )
    for name, values in curves.items():
        error = values.std(axis=0, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
        edge = [(p, m) for p, m in zip(points, means[name] + 2 * error, strict=True)]
        edge += [(p, m) for p, m in zip(points, means[name] - 2 * error, strict=True)][::-1]
        corners = " ".join(f"{x(p):.1f},{y(m):.1f}" for p, m in edge)
        parts.append(f'<polygon points="{corners}" fill="{colours[name]}" opacity="0.10"/>')
    for name, mean in means.items():
        line = " ".join(f"{x(p):.1f},{y(m):.1f}" for p, m in zip(points, mean, strict=True))
        dashes = ' stroke-dasharray="6 4"' if name == RANDOM else ""
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colours[name]}" stroke-width="2.2"'
            f'{dashes} stroke-linejoin="round"><title>{escape(name)}</title></polyline>'
        )
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{what} by labels">'
        f'{"".join(parts)}<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 6}" '
        'text-anchor="middle">labels</text></svg><figcaption>Means over the seeds; bands: twice '
        "the standard error over seeds.</figcaption></figure>"
    )


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers within the range, some `about` of them."""
    raw = max(high - low, 1e-9) / about
    unit = 10.0 ** np.floor(np.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw)
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [float(number * step) for number in range(first, last + 1)]
