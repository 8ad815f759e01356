"""The errors of the strategies; every message names the wrong part and how to put it right."""

import difflib
from collections.abc import Iterable


class StrategyError(Exception):
    """Base of every deliberate error of this package."""


class NoScoreError(StrategyError):
    """A score was asked of a strategy that only selects (its picks depend on each other)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has no score, it only selects; call select instead")
        self.name = name


class MissingInputError(StrategyError):
    """A strategy needs an input that was not given; `field` is that input."""

    def __init__(self, name: str, field: str, mend: str | None = None) -> None:
        mend = mend or f"give it as Pool({field}=...)"
        super().__init__(f"{name} needs {field}; {mend}")
        self.name = name
        self.field = field


class InvalidPoolError(StrategyError):
    """An array of a pool is wrong; `field` names it, `row` is its first wrong row."""

    def __init__(self, field: str, message: str, row: int | None = None) -> None:
        where = field if row is None else f"{field}, row {row}"
        super().__init__(f"{where}: {message}")
        self.field = field
        self.row = row


class GrammarError(StrategyError):
    """A strategy's specification is wrong; `path` is the wrong part, as in `strategy.chain[0]`."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


def suggestion(wrong: str, known: Iterable[str], kind: str) -> str:
    """A sentence that offers the nearest of the known words, if one is near, and lists them all."""
    words = sorted(known)
    nearest = difflib.get_close_matches(wrong.lower(), words, n=1, cutoff=0.6)
    listed = f"known {kind}: {', '.join(words)}" if words else f"there are no {kind}"
    return f"did you mean {nearest[0]!r}? ({listed})" if nearest else listed
