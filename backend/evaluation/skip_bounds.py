"""What tasks without a label can do to an accuracy: skips and disputes are not random, so they are
not dropped.
"""

from dataclasses import dataclass

WARNING_SHARE = 0.05


@dataclass(frozen=True)
class SkipBounds:
    """The accuracy if every skipped task would have been wrong (`low`) or right (`high`).

    As skipped counts what nobody labelled, and what people disagree on. Both are None while nothing
    was asked; `warning` is None while few enough were skipped.
    """

    low: float | None
    high: float | None
    asked: int
    skipped: int
    warning: str | None


def skip_bounds(right: int, wrong: int, skipped: int) -> SkipBounds:
    """right/n … (right + skipped)/n of the n = right + wrong + skipped tasks that were asked.

    No assumption about why tasks were skipped (Manski 1990, worst-case bounds); a warning where
    more than 5 % were. Raises ValueError for negative numbers.
    """
    if min(right, wrong, skipped) < 0:
        raise ValueError("right, wrong and skipped must not be negative")
    asked = right + wrong + skipped
    if asked == 0:
        return SkipBounds(None, None, 0, 0, None)
    warning = None
    if skipped > WARNING_SHARE * asked:
        warning = (
            f"{skipped} of {asked} random tasks were skipped or are in dispute: the accuracy of "
            f"all lies anywhere from {right / asked:.1%} to {(right + skipped) / asked:.1%}. "
            "Ask why"
        )
    return SkipBounds(right / asked, (right + skipped) / asked, asked, skipped, warning)
