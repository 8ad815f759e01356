"""Inside a child process: seconds and extra memory of a call, and the limits that stop it."""

import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Answer = TypeVar("Answer")

# A call shorter than this is repeated, and the least is taken.
SHORT = 1.0
MOST_REPEATS = 5
# The processor's clock ticks in steps of some milliseconds while a limit on it is armed. A call
# of less than a few dozen is timed by the wall's clock: the least of many runs was undisturbed.
TICKING = 0.05
MOST_SHORT_REPEATS = 30


@dataclass(frozen=True)
class Measured(Generic[Answer]):
    """The answer of the first call, and the least seconds of all of them.

    seconds is processor time, but for the shortest calls, where it is too coarse.
    """

    answer: Answer
    seconds: float
    wall_seconds: float
    extra_bytes: int
    repeats: int


def limit_memory(limit: int) -> None:
    """Let allocations beyond `limit` bytes fail instead of exhausting the machine.

    The limit is on private writable memory, so that memory-mapped input does not count.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))


def limit_cores(cores: int) -> None:
    """Keep to the last `cores` of the machine's cores, where the system can be told so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def limit_time(seconds: float, clock: Literal["processor", "wall"]) -> None:
    """End this process once the call has taken so long; 0 takes the limit away."""
    # The default action of both signals ends the process even inside compiled code.
    timer = signal.ITIMER_PROF if clock == "processor" else signal.ITIMER_REAL
    signal.setitimer(timer, seconds)


def measured(call: Callable[[], Answer], *, repeat: bool = True) -> Measured[Answer]:
    """Call once and measure; where that was short and `repeat`, call again for better seconds."""
    gc.collect()
    before = start_of_peak()
    answer, seconds, wall = _timed(call)
    extra = peak() - before
    repeats = 1
    limit_time(0, "processor")
    limit_time(0, "wall")
    while repeat and seconds < SHORT:
        if repeats >= (MOST_SHORT_REPEATS if wall < TICKING else MOST_REPEATS):
            break
        _, again, wall_again = _timed(call)
        seconds, wall = min(seconds, again), min(wall, wall_again)
        repeats += 1
    if wall < TICKING:
        seconds = wall
    return Measured(answer, seconds, wall, max(0, extra), repeats)


def _timed(call: Callable[[], Answer]) -> tuple[Answer, float, float]:
    wall, started = time.perf_counter(), time.process_time()
    answer = call()
    return answer, time.process_time() - started, time.perf_counter() - wall


def start_of_peak() -> int:
    """Forget the highest resident memory so far; the resident memory now, in bytes."""
    if sys.platform == "linux":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return _status("VmRSS")
    return peak()


def peak() -> int:
    """The highest resident memory since `start_of_peak` (elsewhere than on Linux: ever), bytes."""
    if sys.platform == "linux":
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")
