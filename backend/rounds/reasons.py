"""Why a task stands where it stands in the queue, in one sentence."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

NEUTRAL = "This task is next in your queue."
ROLES = {
    "test": "It belongs to the test set, which was drawn at random before any learning and never "
    "trains a model.",
    "validation": "It belongs to the validation set, which was drawn at random before any learning "
    "and never trains a model.",
    "control": "It belongs to the random control, which the strategy may not choose from.",
}
# What a high score of a strategy means to somebody who labels.
MEANINGS = {
    "margin": "the model wavers between its two most probable classes",
    "entropy": "the model's probabilities are spread over the classes",
    "least_confidence": "the model's best guess is not very probable",
    "variation_ratio": "the model's best guess is not very probable",
    "predictive_entropy": "the ensemble's probabilities are spread over the classes",
    "bald": "the ensemble's members disagree",
    "mean_standard_deviation": "the ensemble's members disagree",
    "members_variation_ratio": "the ensemble's members vote for different classes",
    "temporal_output_discrepancy": "the last training changed what the model says of it",
    "predicted_loss": "the model is expected to be wrong about it",
    "density_weighted": "the model is unsure of it and many others are like it",
    "cal": "its labelled neighbours are predicted differently",
    "rare_properties": "it is unlike the rest of the pool",
}


# How every reason begins, by which it is known again.
REASON = re.compile(
    rf"{re.escape(NEUTRAL)}$|It was drawn at random|It was pinned|It belongs to the "
    r"(test set|validation set|random control)|.+ chose it[.:]"
)


def is_reason(value: Any) -> bool:
    """Whether a value in a task's data is a sentence of this module."""
    return isinstance(value, str) and REASON.match(value) is not None


def sentence(
    *,
    family: str,
    branch: str,
    score: float | None,
    probability: float | None,
    details: Mapping[str, Any],
    classes: Sequence[str],
    pins: Sequence[str] = (),
) -> str:
    """The reason of one queue position.

    `details` are the strategy's, by the names in strategies/picks.py; `classes` name the model's
    outputs; `pins` are the titles of the tabs that pin the task.
    """
    if family in ROLES:
        return ROLES[family]
    if family == "random":
        chance = f" (with probability {probability:.3g})" if probability else ""
        return f"It was drawn at random{chance}, to measure whether the strategy beats chance."
    if branch == "pin":
        by = f" by the tab {', '.join(map(repr, pins))}" if pins else ""
        return f"It was pinned{by}."
    if branch.startswith("random"):
        drawn = details.get("inclusion_probability")
        return "It was drawn at random" + (f" with probability {drawn:.3g}." if drawn else ".")
    because = [*_because(branch, score), *_decided(details, classes)]
    return f"{branch} chose it" + (f": {'; '.join(because)}." if because else ".")


def _because(branch: str, score: float | None) -> list[str]:
    last = branch.split(" > ")[-1]
    meaning: str | None = MEANINGS.get(last)
    if score is None:
        return [meaning] if meaning else []
    return [f"{meaning} (score {score:.3g})" if meaning else f"its score is {score:.3g}"]


def _decided(details: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    found = []
    if "covered" in details:
        found.append(
            f"it covers {_count(details['covered'], 'task')} better than all that was labelled or "
            "queued before it"
        )
    if "distance" in details:
        found.append(
            f"it lies {details['distance']:.3g} from its nearest labelled or queued neighbour"
        )
    if "cluster_size" in details:
        found.append(f"it stands for {_count(details['cluster_size'], 'similar task')}")
    if "class" in details:
        named = details["class"]  # earlier picks hold its number
        if isinstance(named, int) and 0 <= named < len(classes):
            named = classes[named]
        found.append(f"it stands for the predicted class {named!r}")
    if "level" in details:
        found.append(f"it stands for {details['level']}")
    if "property" in details and "value" in details:
        found.append(f"its {details['property']} is {details['value']:.3g}")
    if "quota" in details and found:
        found[-1] += f", which was given {_count(details['quota'], 'place')}"
    if "inclusion_probability" in details:
        found.append(f"it was drawn with probability {details['inclusion_probability']:.3g}")
    return found


def _count(number: float, thing: str) -> str:
    whole = round(number)
    return f"{whole:,} {thing}" if whole == 1 else f"{whole:,} {thing}s"
