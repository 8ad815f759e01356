"""What an admin should know or mend, as sentences: read from a project's overview."""

from typing import Any

from backend.evaluation.leak_guard import MOST_BLOCKED
from backend.holdouts import skip_warnings
from backend.rounds.draw_when_stable import REFUSED
from backend.rounds.lift import FAILING
from backend.settings import Settings
from backend.stream import BUDGET_SPENT, ONLY_TOLD

CONFOUNDED = (
    'preannotate is "queue": annotators see the model\'s opinion on strategy tasks but not on the '
    "random ones, so that the lift over random labelling is confounded."
)
TOLD_APART = (
    "explain_field is set: annotators can tell random and hold-out tasks, which all carry the same "
    "sentence, from the strategy's, so that the lift over random labelling may be confounded."
)


def status_warnings(settings: Settings, overview: dict[str, Any], trouble: str | None) -> list[str]:
    """Every warning, beside the last error; `trouble` is one that made the overview incomplete."""
    found: list[str] = []
    active = overview["state"] == "active"
    if overview["state"] == "paused":
        why = overview["pause_reason"]
        mend = (
            "Raise `budget` and it goes on."
            if why == BUDGET_SPENT
            else "`asknext resume` serves tasks again."
        )
        found.append(" ".join(filter(None, ("The label stream is paused.", why, mend))))
    elif overview["pause_reason"]:
        found.append(f"{overview['pause_reason']} {ONLY_TOLD}")
    if trouble:
        found.append(trouble)
    if overview["config"].get("preannotate") == "queue":
        found.append(CONFOUNDED)
    if overview["config"].get("explain_field"):
        found.append(TOLD_APART)
    if active and overview["polls"]:
        found.append(
            "Label Studio sends no events to AskNext: it asks every "
            f"{settings.sync_every_seconds:.0f} s instead. Set SSRF_PROTECTION_ENABLED=false in "
            "Label Studio's environment and connect again to change that."
        )
    if active and overview["pool"] and overview["queue_version"] is None:
        found.append("No queue is published yet; Label Studio serves random tasks until then.")
    elif active and overview["queue_version"] and not sum(overview["queue"].values()):
        found.append("The queue is empty: Label Studio serves random tasks of its own.")
    refused = (overview["last_error"] or "").startswith(REFUSED)
    if active and overview["pool"] and not overview["holdout"]["era"] and not refused:
        found.append(
            "The hold-outs are not drawn yet: that waits until the number of tasks stays the same "
            f"for {settings.stable_total_seconds:.0f} s."
        )
    holdout = overview["holdout"]
    if not holdout.get("intact", True):
        found.append(
            "The hold-out manifest does not fit its hash: the state was edited by hand. Figures of "
            "the test set mean nothing until `asknext holdout reset`."
        )
    changed = holdout.get("changed", {"deleted": 0, "content": 0, "excluded": 0})
    if any(changed.values()):
        found.append(
            f"Of the frozen hold-outs {changed['deleted']} tasks were deleted, "
            f"{changed['content']} have other content now, and {changed['excluded']} without a "
            "label are excluded by hand: a figure says nothing of tasks that somebody took out."
        )
    guard = _last_metric(overview, "leak_guard")
    if guard and guard["refused"] is not None:
        found.append(
            f"A near-duplicate threshold of {guard['refused']:.4f} would keep more than 10% of the "
            f"pool from training; {guard['threshold']:.4f} is in force instead."
        )
    if guard and guard["share"] > MOST_BLOCKED:
        by = ", ".join(f"{count:,} {reason}" for reason, count in guard["by"].items())
        found.append(
            f"{guard['share']:.0%} of the pool is too close to a hold-out to train ({by}): a pool "
            "of many copies wants to be thinned, one of few large groups a smaller `test_size`."
        )
    compared = holdout.get("comparisons") or []
    # What was seen of one strategy says nothing of another.
    in_force = str(overview["config"].get("strategy"))
    if (
        compared
        and compared[-1]["lift"]["verdict"] == "below"
        and compared[-1]["strategy"] == in_force
    ):
        found.append(
            f"{FAILING}{compared[-1]['sentence']} "
            + (
                "Stratified random replaces most of its picks until a later look sees no harm."
                if overview["config"].get("on_failure") == "random"
                else 'Configure another strategy, or `"on_failure": "random"`.'
            )
        )
    drifted = _last_metric(overview, "drift")
    if drifted and drifted["verdict"] == "drifted":
        found.append(f"The pool has changed since the test set was drawn. {drifted['text']}")
    found += _plan_warnings(overview)
    found += skip_warnings(overview["rounds"])
    reference = _last_metric(overview, "reference")
    if reference and reference["warning"] and overview["config"].get("reference"):
        found.append(reference["warning"])
    if not overview["config"].get("random_share"):
        found.append("There is no random control: nothing tells whether the strategy helps.")
    found += [
        f"The tab {rule['title']!r} is not in force: {rule['error']}"
        for rule in overview["rules"]
        if rule["error"]
    ]
    if overview["unplanned"]:
        found.append(
            f"{overview['unplanned']} tasks were labelled outside the queue (served by Label "
            "Studio after the window ran dry, or opened by hand)."
        )
    if overview["unreadable"]:
        found.append(
            f"The content of {overview['unreadable']} tasks cannot be read; they are tried again "
            "later and not queued until then."
        )
    return found


def _plan_warnings(overview: dict[str, Any]) -> list[str]:
    """What of the plan for evaluation does not hold, and what the era in force does not follow."""
    found = []
    ledger, holdout = overview["ledger"], overview["holdout"]
    if ledger["not_asked"]:
        found.append(
            f"{ledger['not_asked']:,} hold-out tasks are not asked about: with the others "
            f"evaluation takes the {ledger['cap']:.0%} of the budget that `evaluation_cap` allows. "
            "They stay held out; a larger budget or cap has them labelled."
        )
    if ledger["planned_share"] > ledger["cap"] + 1e-9:
        random = float(overview["config"].get("random_share", 0.0))
        why = (
            "`random_share` alone takes that much"
            if random > ledger["cap"]
            else "so much of it is labelled already"
        )
        found.append(
            f"Evaluation is planned to take {ledger['planned_share']:.0%} of the budget, more than "
            f"`evaluation_cap` ({ledger['cap']:.0%}): {why}."
        )
    people = _last_metric(overview, "people")
    if people and people.get("planned", 0) < people.get("wanted", 0):
        found.append(
            f"Of {people['wanted']:,} second opinions {people['planned']:,} are asked for: the "
            "budget leaves no more within `evaluation_cap`."
        )
    if holdout.get("outdated"):
        found.append(
            f"{', '.join(f'`{name}`' for name in holdout['outdated'])} changed after the hold-outs "
            "were drawn: those in force stay as they are, and `asknext holdout reset` draws others."
        )
    return found


def _last_metric(overview: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A figure of the newest round that was measured."""
    for record in reversed(overview["rounds"]):
        if record["metrics"] and record["metrics"].get(name):
            return dict(record["metrics"][name])
    return None
