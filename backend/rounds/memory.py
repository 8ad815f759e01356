"""The peak memory of a stage, by the kernel's own account of this process."""

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_PEAK = "5"


def reset_peak() -> None:
    """Begin a new account where the kernel can (Linux); elsewhere peaks count from the start."""
    try:
        Path("/proc/self/clear_refs").write_text(_CLEAR_PEAK)
    except OSError:
        return


def peak_megabytes() -> int:
    """The largest resident size since the last reset, in MB."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest // (1024 * 1024 if sys.platform == "darwin" else 1024)
