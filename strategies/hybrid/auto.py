"""The default: cover the pool first, then herd towards what the model is unsure of."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Integers, float64_rows, row_blocks
from strategies.diversity.max_herding import max_herding
from strategies.hybrid.margin_k_means import margin_k_means
from strategies.kernels.herding import SAMPLE, Herding, herding
from strategies.kernels.products import Device
from strategies.parameters import Interval
from strategies.picks import Picks
from strategies.ranking import best_first
from strategies.uncertainty.margin import margin

Vector = npt.NDArray[np.float64]

# Of a larger pool herding would see a sample only; clusters of what is most ambiguous use the whole
# of it, in a tenth of the time.
LARGE = 200_000
# From this many of the smallest margins a pick, herding chooses.
CANDIDATES_PER_PICK = 40.0
# Between counting every item alike (0) and every predicted class alike (1).
RARITY = 0.5


def auto(
    embeddings: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    probabilities: Floats | None = None,
    labelled_embeddings: Floats | None = None,
    labels: Integers | None = None,
    *,
    rarity: Annotated[float, Interval(least=0, most=1)] = RARITY,
    candidates_per_pick: Annotated[float, Interval(least=1)] = CANDIDATES_PER_PICK,
    large: Annotated[int, Interval(least=1)] = LARGE,
    device: Device = "cpu",
) -> Picks:
    """MaxHerding until the model knows two classes, then UHerding that counts rare classes more.

    While there are no probabilities, or the labels are all of one class, the batch covers the pool
    (max_herding). After that it is the greedy maximum of UHerding's objective
        sum_j u_j max_{i in L + S} k(z_i, z_j),  k = exp(-|z_i - z_j|^2),
        u_j = (1 - gap_j) sum_c p_jc s_c^-rarity,  s_c = mean_j p_jc,
    with gap_j between the two most probable classes of item j, s_c the predicted share of class c,
    z as in max_herding. rarity = 0 is UHerding; at 1 every predicted class weighs the same. The
    candidates i are the candidates_per_pick * size smallest gaps; j runs over the whole pool.
    Above `large` items the second phase is margin_k_means.

    embeddings           (n, d)
    probabilities        (n, c), p; of a head, or a zero-shot model's while nothing is labelled
    labelled_embeddings  (m, d), L
    labels               (m,), the classes of the labelled items
    eligible             (e,) int64 ascending, the items that may be picked; 1 <= size <= e
    large                from this size of the pool on, the cheap alternative
    device               where the large products are computed; the picks are the same
    returns              (size,) picks with the details and branches of the strategy used, and one
                         note that says which and why

    Chance decides only above `large`, and in the order of equal margins at the edge of the
    candidates. Time and memory as those of the strategy used.

    Source: Bae, Sutherland and Oliveira, ICLR 2025 (arXiv 2412.20644), whose MaxHerding becomes
    UHerding with the first model; weights by a power of the class frequency: Mikolov et al. 2013
    (arXiv 1310.4546, section 2.3). The combination was chosen by `make bench-labels`.
    """
    reason = _reason_to_cover(probabilities, labels)
    if reason is not None or probabilities is None:
        return _covering(embeddings, eligible, size, labelled_embeddings, device, reason or "")
    n = len(embeddings)
    if n > large:
        picks = margin_k_means(embeddings, probabilities, eligible, size, rng, device=device)
        told = (
            "One item from each cluster of the most ambiguous ones (margin_k_means): of "
            f"{n:,} items, more than {large:,}, herding would see a sample only."
        )
        return _told(picks, "margin_k_means", told)
    unsure = margin(probabilities)
    weights = unsure * rare_class_weights(probabilities, rarity)
    if not weights.any():
        reason = "the model is sure of every item"
        return _covering(embeddings, eligible, size, labelled_embeddings, device, reason)
    candidates = eligible
    count = round(min(len(eligible), candidates_per_pick * size))
    if count < len(eligible):
        candidates = np.sort(best_first(unsure, eligible, count, rng))
    how = Herding(1.0, center=True, sample=SAMPLE, device=device)
    picks = herding(embeddings, candidates, size, labelled_embeddings, weights, how)
    told = (
        "Coverage of what the model is unsure of (uherding), rare predicted classes counted more: "
        f"{_knowledge(labels, probabilities.shape[1])}."
    )
    return _told(picks, "uherding", told)


def rare_class_weights(probabilities: Floats, rarity: float) -> Vector:
    """(n,) float64 > 0: sum_c p_jc s_c^-rarity for probabilities (n, c), s_c = mean_j p_jc.

    1 for all items at rarity 0; at rarity 1 the weight that follows a class is the same for all
    classes: sum_j p_jc s_c^-1 = n.
    """
    n, classes = probabilities.shape
    total = np.zeros(classes, dtype=np.float64)
    for block in row_blocks(n, classes):
        total += float64_rows(probabilities, block).sum(axis=0)
    shares = total / n
    factors = np.zeros(classes, dtype=np.float64)
    np.power(shares, -rarity, out=factors, where=shares > 0)
    weights = np.empty(n, dtype=np.float64)
    for block in row_blocks(n, classes):
        weights[block] = float64_rows(probabilities, block) @ factors
    return weights


def _reason_to_cover(probabilities: Floats | None, labels: Integers | None) -> str | None:
    if probabilities is None:
        return "there is no model yet"
    if probabilities.shape[1] < 2:
        return "there is only one class to choose from"
    if labels is not None and len(labels) and (labels == labels[0]).all():
        return "all labels so far are of one class"
    return None


def _knowledge(labels: Integers | None, classes: int) -> str:
    if labels is None or not len(labels):
        return f"there are probabilities of {classes} classes"
    return (
        f"the model has seen {len(np.unique(labels))} of {classes} classes in {len(labels)} labels"
    )


def _covering(
    embeddings: Floats,
    eligible: Indices,
    size: int,
    labelled: Floats | None,
    device: Device,
    reason: str,
) -> Picks:
    picks = max_herding(embeddings, eligible, size, labelled, device=device)
    return _told(picks, "max_herding", f"Coverage of the pool (max_herding): {reason}.")


def _told(picks: Picks, branch: str, note: str) -> Picks:
    return replace(picks, branches=(branch,) * len(picks.indices), notes=(note, *picks.notes))
