"""Pausing and resuming a project's label stream (no setting of Label Studio's does it directly).

With `maximum_annotations` at 0 Label Studio serves nobody; the old value is kept in the state
before it is changed, so that `resume`, `disconnect` and a crash between the two all restore it.
"""

from typing import Any

from backend.budget import is_spent
from backend.errors import AskNextError, LabelStudioRefusedError
from backend.labelstudio import LabelStudio
from backend.store import work
from backend.store.database import Database
from backend.store.projects import record_event, set_values
from backend.store.tables import Project, Round

BUDGET_SPENT = "The budget is spent."
BY_HAND = "It was paused by hand."
# What annotators read where the stream cannot be stopped.
NOTICE = "<p><b>Please stop labelling: this project is paused.</b></p>"
ONLY_TOLD = (
    "Label Studio asks several people about a part of the tasks, so that the stream cannot be "
    "stopped without drawing that part anew: the project's instruction tells the annotators."
)
INSTRUCTION = ("expert_instruction", "show_instruction")


def pause(
    database: Database, client: LabelStudio, project: Project, reason: str | None = None
) -> None:
    """Stop serving tasks to everybody; `reason` is told in the status.

    Where only a part of the tasks goes to several people, Label Studio would draw anew which part
    that is: then the stream goes on, and the project's instruction tells the annotators to stop.
    """
    if project.state == "paused":
        return
    remote = client.project(project.label_studio_id)
    overlap = int(remote["maximum_annotations"])
    if overlap > 1 and remote.get("overlap_cohort_percentage", 100) != 100:
        _tell_annotators(database, client, project, remote, reason or BY_HAND)
        return
    kept = project.paused_overlap if overlap == 0 else overlap
    with database.write() as session:
        set_values(session, project.id, paused_overlap=kept or 1)
    try:
        client.update_project(project.label_studio_id, maximum_annotations=0)
    except LabelStudioRefusedError:
        with database.write() as session:
            set_values(session, project.id, paused_overlap=project.paused_overlap)
        raise
    with database.write() as session:
        why = reason or BY_HAND
        set_values(session, project.id, state="paused", pause_reason=why)
        record_event(session, project.id, "info", f"The label stream was paused. {why}")


def resume(database: Database, client: LabelStudio, project: Project) -> None:
    """Serve tasks again, from the same queue.

    Raises:
        AskNextError: the budget is spent, so that the stream would be paused again at once.
    """
    told = "instruction" in project.restore
    if project.state != "paused" and project.paused_overlap is None and not told:
        return
    with database.read() as session:
        if is_spent(session, project):
            raise AskNextError(
                f"The budget of {project.config['budget']:,} annotations is spent; raise `budget` "
                "(or `budget_hours`) first, then the stream goes on by itself."
            )
    values = instruction_before(project)
    if project.paused_overlap is not None or project.state == "paused":
        values["maximum_annotations"] = project.paused_overlap or 1
    client.update_project(project.label_studio_id, **values)
    with database.write() as session:
        row = session.get_one(Project, project.id)
        row.restore = {name: kept for name, kept in row.restore.items() if name != "instruction"}
        set_values(session, project.id, state="active", paused_overlap=None, pause_reason=None)
        record_event(session, project.id, "info", "The label stream was resumed.")
        work.request_in(session, project.id, "sync")


def instruction_before(project: Project) -> dict[str, Any]:
    """The instruction as it was before the annotators were told to stop; {} where they were not."""
    kept = project.restore.get("instruction") or {}
    return {name: kept[name] for name in INSTRUCTION if name in kept}


def _tell_annotators(
    database: Database,
    client: LabelStudio,
    project: Project,
    remote: dict[str, Any],
    reason: str,
) -> None:
    if str(remote.get("expert_instruction") or "").startswith(NOTICE):
        return
    # Where an earlier try got no answer, what was there before it is kept already.
    kept = project.restore.get("instruction")
    before = kept or {name: remote.get(name) for name in INSTRUCTION}
    with database.write() as session:
        row = session.get_one(Project, project.id)
        row.restore = {**row.restore, "instruction": before}
    client.update_project(
        project.label_studio_id,
        expert_instruction=NOTICE + (before["expert_instruction"] or ""),
        show_instruction=True,
    )
    with database.write() as session:
        set_values(session, project.id, pause_reason=reason)
        record_event(session, project.id, "warning", f"{reason} {ONLY_TOLD}")


def follow_advice(database: Database, client: LabelStudio, project: Project) -> None:
    """Pause the stream where the newest round advises to stop and the admin lets it.

    What the admin resumes after that is not paused again by the same signs.
    """
    if project.state != "active" or project.config.get("on_stop") != "pause":
        return
    with database.read() as session:
        newest = session.get(Round, (project.id, project.round_number))
        found = ((newest.metrics or {}).get("stopping") or {}) if newest else {}
    signs = set(found.get("signs") or [])
    if not signs - set(project.followed_advice):
        return
    pause(database, client, project, f"There is advice to stop: {' '.join(found['advice'])}")
    with database.write() as session:
        followed = sorted({*project.followed_advice, *signs})
        set_values(session, project.id, followed_advice=followed)


def follow_budget(database: Database, client: LabelStudio, project: Project) -> None:
    """Pause the stream when the budget is spent, and resume it when more can be paid for.

    What cannot be stopped is told to the annotators (`pause`).
    """
    with database.read() as session:
        over = is_spent(session, project)
    if over:
        if project.state == "active" and project.pause_reason != BUDGET_SPENT:
            pause(database, client, project, BUDGET_SPENT)
    elif project.pause_reason == BUDGET_SPENT:
        resume(database, client, project)
