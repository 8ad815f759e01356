"""One measurement: what a child process is told, and what it answers."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

Role = Literal["asknext", "loop", "peer", "judge", "machine"]
# What became of a measurement. Anything but "done" leaves no seconds.
Outcome = Literal["done", "time", "memory", "failed", "absent"]


@dataclass(frozen=True)
class Job:
    """One run of one contender.

    role        who runs: AskNext, the obvious loop, a library, or the judge of an answer
    strategy    the name in AskNext's registry
    library     for a peer: its name in PEERS
    n, size     items in the pool (the first n of the arrays) and picks
    labelled    whether the labelled items are handed over
    parameters  of AskNext's strategy
    seconds     the limit for the selection itself
    clock       what the limit counts: processor time, or the clock on the wall
    memory      the limit of the process's own memory, in bytes
    prefix      for a loop: after so many seconds it stops, and the rest is extrapolated
    picks       for the judge: the file that holds the answer
    """

    role: Role
    strategy: str
    n: int
    size: int
    folder: str
    library: str = ""
    labelled: bool = True
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 300.0
    clock: Literal["processor", "wall"] = "processor"
    memory: int = 16 << 30
    cores: int = 1
    prefix: float = 60.0
    picks: str = ""

    @property
    def contender(self) -> str:
        """The name that the report shows."""
        return {"asknext": "AskNext", "loop": "obvious loop"}.get(self.role, self.library)

    def at(self, n: int, size: int) -> "Job":
        """The same run on fewer items."""
        return replace(self, n=n, size=size)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> "Job":
        return Job(**json.loads(path.read_text()))


@dataclass(frozen=True)
class Measurement:
    """What one run gave.

    seconds        processor time of the selection, the least of the repeats; for a loop that was
                   stopped: extrapolated
    wall_seconds   the same by the clock on the wall
    extra_bytes    the highest resident memory during the selection, less that before it
    done           the part of the work that was done, 1 where all of it
    picks          the file that holds the answer; empty where the run did not finish
    """

    job: Job
    outcome: Outcome
    seconds: float | None = None
    wall_seconds: float | None = None
    pool_seconds: float | None = None
    extra_bytes: int | None = None
    repeats: int = 0
    done: float = 1.0
    picks: str = ""
    message: str = ""
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.outcome == "done"
