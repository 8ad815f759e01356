"""Sharing a batch among several strategies: how many each picks, and in which order."""

import math
from collections.abc import Sequence
from fractions import Fraction


def largest_remainder(shares: Sequence[float], size: int) -> list[int]:
    """How many of `size` seats each share gets: the whole part, then one more by largest remainder.

    Equal remainders go to the earlier one. Shares are > 0 and need not sum to 1. The counts sum to
    `size`, and each differs from its exact part of it by less than 1.

    Source: Hamilton's method; Balinski and Young, Fair Representation, 1982, chapter 3.
    """
    # Decimal text, not the binary value: 0.7 of 10 is then 7 exactly, and ties are true ties.
    exact = [Fraction(str(float(share))) for share in shares]
    total = sum(exact)
    parts = [share * size / total for share in exact]
    counts = [math.floor(part) for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda i: (counts[i] - parts[i], i))
    for i in by_remainder[: size - sum(counts)]:
        counts[i] += 1
    return counts


def interleaved(counts: Sequence[int]) -> list[int]:
    """An order in which every prefix holds each source in its proportion.

    With N = sum(counts) and k sources of at least one seat, the first t places hold source i
    x_i(t) times with |x_i(t) - t counts[i] / N| <= 1 - 1 / (2k - 2): no order can promise less.

    counts   one whole number >= 0 a source
    returns  N source numbers

    Source: Tijdeman, The chairman assignment problem, Discrete Mathematics 32 (1980), section 2.
    """
    sources = [i for i, count in enumerate(counts) if count > 0]
    total = sum(counts)
    if len(sources) < 2:
        return sources * total
    slack = 2 * len(sources) - 2
    taken = dict.fromkeys(sources, 0)
    # The last place where the next pick of a source still keeps the bound: its deadline.
    deadline = {i: -(-(slack - 1) * total // (slack * counts[i])) for i in sources}
    order = []
    for place in range(1, total + 1):
        open_sources = [
            i for i in sources if (counts[i] * place - taken[i] * total) * slack >= total
        ]
        chosen = min(open_sources, key=lambda i: (deadline[i], -counts[i], i))
        taken[chosen] += 1
        deadline[chosen] = -(-((taken[chosen] + 1) * slack - 1) * total // (slack * counts[chosen]))
        order.append(chosen)
    return order
