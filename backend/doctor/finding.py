"""What the doctor found, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked; `mend` says what to do where it is not ok."""

    name: str
    state: State
    message: str
    mend: str = ""
    project: int | None = None
