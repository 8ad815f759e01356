"""Which unlabelled items to label next: arrays in, a ranking out.

A pure package: it knows arrays and nothing of services, files, clocks or settings.
"""

from strategies.combining.grammar import parse
from strategies.combining.specification import Selection, Specification
from strategies.errors import (
    GrammarError,
    InvalidPoolError,
    MissingInputError,
    NoScoreError,
    StrategyError,
)
from strategies.picks import Picks
from strategies.pool import Pool
from strategies.registry import names, score, select

__all__ = [
    "GrammarError",
    "InvalidPoolError",
    "MissingInputError",
    "NoScoreError",
    "Picks",
    "Pool",
    "Selection",
    "Specification",
    "StrategyError",
    "names",
    "parse",
    "score",
    "select",
]
