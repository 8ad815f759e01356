"""Whether tasks that arrived late differ from those that the test set was drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass

from backend.evaluation.metadata_distance import FieldDistance, metadata_distances
from backend.evaluation.two_sample import Separation, separation
from strategies.arrays import Column, Floats

# AUC = Phi(d / sqrt 2) for a difference of means of d standard deviations: Cohen's small effect,
# d = 0.2, is 0.556, the medium one, d = 0.5, is 0.638.
SMALL_AUC, MEDIUM_AUC = 0.556, 0.638
CATEGORICAL_LIMIT = 0.1  # a tenth of the tasks would have to change their value
NUMERIC_LIMIT = 0.2  # standard deviations
SIGNIFICANCE = 0.05  # over embeddings and all fields together

REPRESENTS, DRIFTED, UNDECIDED = "represents", "drifted", "undecided"


@dataclass(frozen=True)
class Drift:
    """Old tasks against late ones.

    separation   by embeddings, None where there are none or too few
    fields       by metadata
    late_share   of the late tasks among all
    verdict      "represents", "drifted" or "undecided"
    text         the verdict in words, with the figures it rests on
    """

    separation: Separation | None
    fields: tuple[FieldDistance, ...]
    late_share: float
    verdict: str
    text: str


def drift(
    old: int,
    late: int,
    old_embeddings: Floats | None = None,
    late_embeddings: Floats | None = None,
    old_metadata: Mapping[str, Column] | None = None,
    late_metadata: Mapping[str, Column] | None = None,
    old_groups: Column | None = None,
    late_groups: Column | None = None,
    seed: int = 0,
) -> Drift:
    """Compare `late` tasks with `old` ones, whatever the test set's labels and any model say.

    drifted     the whole interval of the area under the curve lies above 0.556 (small effect), or
                a field's distance exceeds its limit (total variation 0.1; 0.2 standard deviations)
                and chance explains it with p < 5% / (fields + 1) (Bonferroni, with
                the embeddings)
    represents  not drifted, and the interval lies below 0.638 (no medium effect); without
                embeddings, not drifted and at least 30 late tasks
    undecided   everything else: too few late tasks to tell
    """
    by_embeddings = None
    if old_embeddings is not None and late_embeddings is not None:
        by_embeddings = separation(old_embeddings, late_embeddings, old_groups, late_groups, seed)
    fields = metadata_distances(
        old_metadata or {}, late_metadata or {}, old_groups, late_groups, seed=seed
    )
    share = late / (old + late) if old + late else 0.0
    moved = [field for field in fields if has_moved(field, len(fields))]
    reasons = [field_in_words(field) for field in moved]
    if by_embeddings is not None and by_embeddings.low > SMALL_AUC:
        reasons.insert(0, f"a classifier tells them from the old by {area_in_words(by_embeddings)}")
    if reasons:
        text = (
            f"drifted: late tasks ({100 * share:.1f}% of the pool) are no longer like those that "
            f"the test set was drawn from: {'; '.join(reasons)}. Read the late supplement beside "
            "the test figure, or begin a new era."
        )
        return Drift(by_embeddings, fields, share, DRIFTED, text)
    if by_embeddings is None:
        settled = old_embeddings is None and bool(fields) and late >= 30
        how = "by metadata alone"
    else:
        settled = by_embeddings.high < MEDIUM_AUC
        how = f"a classifier tells late from old tasks by {area_in_words(by_embeddings)}"
    if settled:
        visible = by_embeddings is not None and by_embeddings.low > 0.5
        small = "; a shift is visible, but small" if visible else ""
        text = f"the test set still represents the pool ({how}{small})."
        return Drift(by_embeddings, fields, share, REPRESENTS, text)
    seen = f", {how}" if by_embeddings is not None else ""
    text = (
        f"undecided: {late:,} late tasks are too few to tell whether the test set still represents "
        f"the pool{seen}."
    )
    return Drift(by_embeddings, fields, share, UNDECIDED, text)


def has_moved(field: FieldDistance, fields: int) -> bool:
    """Whether one of so many fields is beyond its limit, and not by chance."""
    limit = CATEGORICAL_LIMIT if field.kind == "categorical" else NUMERIC_LIMIT
    return abs(field.distance) > limit and field.p_value < SIGNIFICANCE / (fields + 1)


def field_in_words(field: FieldDistance) -> str:
    """A field's distance beside that of chance."""
    if field.kind == "categorical":
        return f"{field.field} (total variation {field.distance:.2f}, by chance {field.chance:.2f})"
    return (
        f"{field.field} ({field.distance:+.2f} standard deviations, by chance {field.chance:.2f})"
    )


def area_in_words(found: Separation) -> str:
    """The area under the curve with its interval."""
    return f"AUC {found.auc:.2f} ({found.low:.2f} to {found.high:.2f})"
