"""Running a job in a child process of its own, in the right environment, within its limits."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.selection.job import Job, Measurement

ROOT = Path(__file__).resolve().parent.parent.parent
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
# Importing, opening and compiling come before the limit on the selection itself.
AROUND = 300.0
# Against a machine so busy that the processor's clock hardly moves.
PATIENCE = 4.0
# How the child's own limits end it.
STOPPED = (-signal.SIGPROF, -signal.SIGALRM)
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def run(job: Job, folder: Path) -> Measurement:
    """Run it and read its answer; whatever goes wrong there is an outcome here."""
    number = len(list(folder.glob("job-*.json")))
    job_file, answer_file = folder / f"job-{number:04}.json", folder / f"answer-{number:04}.json"
    job.write(job_file)
    python = str(PEERS_PYTHON) if job.role == "peer" else sys.executable
    environment = {**os.environ, **dict.fromkeys(THREADS, str(job.cores))}
    environment["PYTHONWARNINGS"] = "ignore"
    environment.pop("PYTHONPATH", None)
    try:
        finished = subprocess.run(
            [python, "-m", "benchmarks.selection.child", str(job_file), str(answer_file)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=AROUND + PATIENCE * job.seconds,
        )
    except subprocess.TimeoutExpired:
        return Measurement(job, "time", message=f"more than {job.seconds:.0f} s")
    if answer_file.exists():
        return Measurement(job, **json.loads(answer_file.read_text()))
    code = finished.returncode
    if code in STOPPED:
        return Measurement(job, "time", message=f"more than {job.seconds:.0f} s")
    complaint = finished.stderr.decode(errors="replace").strip()[-500:]
    # A failed allocation ends compiled code in one of these ways; -9 is the system's own.
    if code in (-signal.SIGKILL, -signal.SIGSEGV) or any(
        word in complaint for word in ("bad_alloc", "MemoryError", "memory allocation")
    ):
        return Measurement(job, "memory", message=complaint)
    return Measurement(job, "failed", message=f"exit status {code}: {complaint}")
