"""Whether every strategy finishes on a million items: in ten minutes, in 3 GB, on two cores."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from benchmarks.selection.job import Job, Measurement
from benchmarks.selection.process import run
from benchmarks.selection.report import megabytes

SIZE = 1_000
CORES = 2
SECONDS = 600.0
# Beyond the limit a run goes on for a while, so that the report can say by how much it missed.
ALLOWANCE = 1.25


@dataclass(frozen=True)
class Level:
    """A number of items and the extra memory that is allowed there, in bytes."""

    n: int
    extra: int


LEVELS = (Level(100_000, 10**9), Level(1_000_000, 3 * 10**9))


@dataclass(frozen=True)
class Line:
    """One strategy at one level."""

    level: Level
    measurement: Measurement

    @property
    def problems(self) -> list[str]:
        """Why it fails; empty where it passes."""
        found = self.measurement
        if not found.finished or found.wall_seconds is None or found.extra_bytes is None:
            return [found.message or found.outcome]
        problems = []
        if found.wall_seconds > SECONDS:
            problems.append(f"more than {SECONDS:.0f} s")
        if found.extra_bytes > self.level.extra:
            problems.append(f"more than {self.level.extra / 1e9:g} GB")
        return problems


def lines(
    template: Job, names: dict[str, dict[str, object]], levels: Iterable[Level], folder: Path,
    say: Callable[[str], None],
) -> Iterator[Line]:  # fmt: skip
    """Run each named strategy with its parameters at each level."""
    for level in levels:
        for name, parameters in names.items():
            say(f"{name}, n = {level.n:,}")
            job = replace(
                template,
                role="asknext",
                strategy=name,
                parameters=parameters,
                n=level.n,
                size=min(SIZE, level.n),
                seconds=SECONDS * ALLOWANCE,
                clock="wall",
                cores=CORES,
            )
            yield Line(level, run(job, folder))


def table(shown: Iterable[Line], barred: Iterable[str]) -> Table:
    """Seconds and memory of each strategy, and whether it passes."""
    result = Table(
        title=f"{SIZE:,} picks on {CORES} cores: at most {SECONDS:.0f} s; extra memory at most "
        + ", ".join(f"{level.extra / 1e9:g} GB at n = {level.n:,}" for level in LEVELS),
        title_justify="left",
    )
    for name, side in (
        ("strategy", "left"), ("n", "right"), ("seconds", "right"), ("checking the pool", "right"),
        ("extra MB", "right"), ("", "left"), ("why", "left"),
    ):  # fmt: skip
        result.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    for line in shown:
        found = line.measurement
        result.add_row(
            found.job.strategy,
            f"{line.level.n:,}",
            "" if found.wall_seconds is None else f"{found.wall_seconds:,.2f}",
            "" if found.pool_seconds is None else f"{found.pool_seconds:,.2f}",
            megabytes(found.extra_bytes),
            "fail" if line.problems else "pass",
            "; ".join(line.problems)[:200],
        )
    if named := ", ".join(barred):
        result.caption = f"For small pools only, so not run: {named}."
    return result
