"""Each strategy of AskNext next to the obvious loop and the libraries, at the sizes they manage."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.selection.job import Job, Measurement
from benchmarks.selection.judging import MOST_PAIRED, UNCHECKED
from benchmarks.selection.loops import LOOPS
from benchmarks.selection.objectives import SCORES
from benchmarks.selection.peers import PEERS, WITHOUT_LABELLED
from benchmarks.selection.process import run

# A run at an eighth of both tells how far a library will come.
PROBE = 3
# n and the batch are halved together, and time is expected to grow with their product.
GROWTH = 4.0
SMALLEST = 400
JUDGING_SECONDS = 1800.0


@dataclass(frozen=True)
class Row:
    """One line of the report: a contender, and AskNext's seconds at the same size."""

    measurement: Measurement
    reference: Measurement | None = None
    judgement: dict[str, object] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """The contender's seconds over AskNext's."""
        own, ours = self.measurement, self.reference
        if own.seconds is None or ours is None or not ours.seconds:
            return None
        return own.seconds / ours.seconds


class Comparison:
    """The measurements of one run of the benchmark; each is made once."""

    def __init__(self, template: Job, folder: Path, say: Callable[[str], None]) -> None:
        self.template = template
        self.folder = folder
        self.say = say
        self._made: dict[str, Measurement] = {}

    def rows(
        self, strategies: Iterable[str], parameters: dict[str, dict[str, object]], size: int,
        peers: Iterable[str] | None,
    ) -> Iterator[Row]:  # fmt: skip
        """The lines of every strategy at this batch size, as they are measured.

        parameters  of each registered strategy; one that is missing here is reported as absent
        peers       the libraries to measure; None for all
        """
        for name in strategies:
            job = replace(self.template, strategy=name, size=size)
            if name not in parameters:
                message = "not in AskNext's registry yet"
                yield Row(Measurement(replace(job, role="asknext"), "absent", message=message))
                continue
            yield from self._strategy(replace(job, parameters=parameters[name]), peers)

    def _strategy(self, job: Job, peers: Iterable[str] | None) -> Iterator[Row]:
        own = self._row(replace(job, role="asknext"))
        yield own
        if job.strategy in LOOPS:
            yield self._row(replace(job, role="loop"))
        if own.judgement.get("exact") == UNCHECKED:
            yield from self._checked_smaller(job)
        shown = {repr(own.measurement.job)}
        wanted = PEERS.get(job.strategy, ())
        for library in wanted if peers is None else [p for p in wanted if p in set(peers)]:
            labelled = (job.strategy, library) not in WITHOUT_LABELLED
            theirs = replace(job, role="peer", library=library, labelled=labelled)
            found = self._largest(theirs)
            reached = found.job if found.finished else theirs
            ours = replace(reached, role="asknext", library="")
            if found.finished and repr(ours) not in shown:
                shown.add(repr(ours))
                yield self._row(ours)
            yield self._row_of(found, ours if found.finished else None)

    def _checked_smaller(self, job: Job) -> Iterator[Row]:
        """The same question on so few items that each step can be checked."""
        halved = job
        while halved.n > MOST_PAIRED:
            halved = _halved(halved, 1)
        if halved.n == job.n:
            return
        yield self._row(replace(halved, role="asknext"))
        if job.strategy in LOOPS:
            yield self._row(replace(halved, role="loop", prefix=job.seconds))

    def _largest(self, job: Job) -> Measurement:
        """The run at the largest size within the limits, searched by halving n and the batch."""
        start = 0
        if job.strategy not in SCORES and job.seconds >= 1.0:
            probe = self._measured(_halved(job, PROBE))
            if probe.finished and probe.seconds is not None:
                start = _expected_level(probe.seconds, job.seconds)
            elif probe.outcome in ("time", "memory"):
                start = PROBE + 1
        level = start
        while True:
            tried = _halved(job, level)
            if level > 0 and tried.n < SMALLEST:
                return replace(self._measured(_halved(job, max(level - 1, 0))), job=job)
            found = self._measured(tried)
            if found.finished or found.outcome not in ("time", "memory"):
                return found
            level += 1

    def _row(self, job: Job) -> Row:
        return self._row_of(self._measured(job), replace(job, role="asknext", library=""))

    def _row_of(self, found: Measurement, ours: Job | None) -> Row:
        reference = self._measured(replace(ours, prefix=self.template.prefix)) if ours else None
        return Row(found, reference, self._judgement(found))

    def _judgement(self, found: Measurement) -> dict[str, object]:
        if not found.picks:
            return {}
        judge = replace(
            found.job, role="judge", picks=found.picks, seconds=JUDGING_SECONDS, clock="processor"
        )
        answer = self._measured(judge)
        return answer.answer if answer.finished else {"exact": UNCHECKED, "why": answer.message}

    def _measured(self, job: Job) -> Measurement:
        key = repr(job)
        if key not in self._made:
            self.say(f"{job.strategy}: {job.contender or job.role}, n = {job.n:,}, {job.size:,}")
            self._made[key] = run(job, self.folder)
        return self._made[key]


def _halved(job: Job, times: int) -> Job:
    return job.at(max(1, job.n >> times), max(1, job.size >> times))


def _expected_level(probe_seconds: float, limit: float) -> int:
    """The fewest halvings at which the probe's time, scaled up, has a chance within the limit."""
    for level in range(PROBE + 1):
        if probe_seconds * GROWTH ** (PROBE - level) <= 1.5 * limit:
            return level
    return PROBE
