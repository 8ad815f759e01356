"""The goals that the project set itself, each as a ratio in the same run."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.selection.comparison import Row

# Against the obvious loop, by kind of data.
LOOP_RATIO = {
    "k_center": {"clustered": 50.0, "isotropic": 20.0},
    "badge": {"clustered": 50.0, "isotropic": 50.0},
}
# Of the dense arithmetic time 2 n² d.
DENSE_SHARE = {"facility_location": 1.0, "max_herding": 0.5, "uherding": 0.5}
PEER_RATIO = dict.fromkeys(("typiclust", "clue", "k_means", "dropquery", "falcun"), 10.0)
SECONDS = dict.fromkeys(("margin", "entropy", "least_confidence"), 0.3)
# Two answers of a random method are equally good within this part.
EQUAL = 0.01


@dataclass(frozen=True)
class Goal:
    """One goal, what was measured, and whether that meets it."""

    strategy: str
    goal: str
    measured: str
    met: bool


def goals(rows: Iterable[Row], kind: str, dense: float, n: int) -> list[Goal]:
    """Every goal that these rows can tell of."""
    found = []
    kept = list(rows)
    for row in kept:
        job, seconds, ratio = row.measurement.job, row.measurement.seconds, row.ratio
        name = job.strategy
        if seconds is None:
            continue
        if job.role == "asknext" and job.n == n:
            if name in DENSE_SHARE:
                least = DENSE_SHARE[name]
                share = seconds / dense
                found.append(
                    Goal(name, f"≤ {least:g} × 2n²d", f"{share:.2f} × 2n²d", share <= least)
                )
            if name in SECONDS:
                found.append(
                    Goal(name, f"≤ {SECONDS[name]} s", f"{seconds:.3f} s", seconds <= SECONDS[name])
                )
        if ratio is None or job.role == "asknext":
            continue
        if job.role == "loop" and name in LOOP_RATIO and job.n == n:
            least = LOOP_RATIO[name][kind]
            found.append(
                Goal(name, f"≥ {least:g} × the obvious loop", f"{ratio:.1f} ×", ratio >= least)
            )
        if job.role == "peer" and name in PEER_RATIO:
            ours = next((r for r in kept if r.measurement is row.reference), None)
            equal = ours is not None and not _worse(ours.judgement, row.judgement)
            measured = f"{ratio:.1f} ×, objective {'kept' if equal else 'worse'}"
            text = f"≥ {PEER_RATIO[name]:g} × {job.library} at its objective"
            found.append(Goal(name, text, measured, ratio >= PEER_RATIO[name] and equal))
        if job.role == "peer" and name == "bald" and job.library == "baal":
            found.append(Goal(name, "faster than baal", f"{ratio:.1f} ×", ratio > 1.0))
    return found


def _worse(ours: dict[str, object], theirs: dict[str, object]) -> bool:
    own, other = ours.get("value"), theirs.get("value")
    if not isinstance(own, float) or not isinstance(other, float):
        return False
    room = EQUAL * abs(other)
    return own > other + room if ours["better"] == "lower" else own < other - room
