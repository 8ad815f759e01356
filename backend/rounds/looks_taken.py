"""The looks at the lift over a project's life: planned ahead, and never forgiven by a new era."""

from typing import Any

from backend.evaluation.looks import LookPlan, extend_plan, plan_looks

# Control labels at the first look: with fewer there are hardly blocks enough.
FIRST_LOOK = 20
# The error that all looks of a project share.
ALPHA = 0.05


def planned_looks(reports: dict[str, Any], most: int) -> LookPlan | None:
    """The looks of an era, by its reports; None where earlier eras have spent all of the error.

    most  control labels that the budget pays for: another budget plans the looks to come anew with
          the error that is left
    """
    looks = reports.get("looks")
    if looks:
        plan = LookPlan(tuple(looks["at"]), tuple(looks["alphas"]), looks["alpha"])
        return extend_plan(plan, int(looks["taken"]), most)
    left = ALPHA - float(reports.get("error_spent", 0.0))
    return plan_looks(FIRST_LOOK, most, left) if left > 1e-9 else None


def looks_before(reports: dict[str, Any]) -> dict[str, Any]:
    """What an era hands on to the next: its comparisons, and the error that its looks spent."""
    looks = reports.get("looks") or {"alphas": [], "taken": 0}
    spent = float(reports.get("error_spent", 0.0)) + sum(looks["alphas"][: int(looks["taken"])])
    return {"comparisons": reports.get("comparisons", []), "error_spent": spent}
