"""Pausing and resuming a project's label stream (no setting of Label Studio's does it directly).

With `maximum_annotations` at 0 Label Studio serves nobody; the old value is kept in the state
before it is changed, so that `resume`, `disconnect` and a crash between the two all restore it.
"""

from backend.budget import is_spent
from backend.errors import AskNextError, LabelStudioRefusedError
from backend.labelstudio import LabelStudio
from backend.store import work
from backend.store.database import Database
from backend.store.projects import record_event, set_values
from backend.store.tables import Project, Round

BUDGET_SPENT = "The budget is spent."


def pause(
    database: Database, client: LabelStudio, project: Project, reason: str | None = None
) -> None:
    """Stop serving tasks to everybody; `reason` is told in the status.

    Raises:
        AskNextError: the project asks for several annotations a task, where the old state would
            not come back unchanged.
    """
    if project.state == "paused":
        return
    overlap = int(client.project(project.label_studio_id)["maximum_annotations"])
    if overlap > 1:
        raise AskNextError(
            f"The project asks for {overlap} annotations a task; pausing would draw anew which "
            "tasks get them. Tell the annotators to stop in the project's instruction instead."
        )
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
        set_values(session, project.id, state="paused", pause_reason=reason)
        why = f" {reason}" if reason else ""
        record_event(session, project.id, "info", f"The label stream was paused.{why}")


def resume(database: Database, client: LabelStudio, project: Project) -> None:
    """Serve tasks again, from the same queue.

    Raises:
        AskNextError: the budget is spent, so that the stream would be paused again at once.
    """
    if project.state != "paused" and project.paused_overlap is None:
        return
    with database.read() as session:
        if is_spent(session, project):
            raise AskNextError(
                f"The budget of {project.config['budget']:,} annotations is spent; raise `budget` "
                "(or `budget_hours`) first, then the stream goes on by itself."
            )
    client.update_project(project.label_studio_id, maximum_annotations=project.paused_overlap or 1)
    with database.write() as session:
        set_values(session, project.id, state="active", paused_overlap=None, pause_reason=None)
        record_event(session, project.id, "info", "The label stream was resumed.")
        work.request_in(session, project.id, "sync")


def follow_advice(database: Database, client: LabelStudio, project: Project) -> None:
    """Pause the stream once where the newest round advises to stop and the admin lets it.

    What the admin resumes after that is not paused again by the same advice.
    """
    if (
        project.state != "active"
        or project.config.get("on_stop") != "pause"
        or project.advice_followed
    ):
        return
    with database.read() as session:
        newest = session.get(Round, (project.id, project.round_number))
        advice = ((newest.metrics or {}).get("stopping") or {}).get("advice") if newest else None
    if not advice:
        return
    reason = f"There is advice to stop: {' '.join(advice)}"
    with database.write() as session:
        set_values(session, project.id, advice_followed=True)
    try:
        pause(database, client, project, reason)
    except AskNextError as error:
        with database.write() as session:
            record_event(session, project.id, "warning", f"{reason} {error}")


def follow_budget(database: Database, client: LabelStudio, project: Project) -> None:
    """Pause the stream when the budget is spent, and resume it when more can be paid for.

    A project that asks for several annotations a task cannot be paused: the status says so.
    """
    with database.read() as session:
        over = is_spent(session, project)
    if over and project.state == "active":
        try:
            pause(database, client, project, BUDGET_SPENT)
        except LabelStudioRefusedError:
            raise
        except AskNextError as error:
            if project.pause_reason != BUDGET_SPENT:
                with database.write() as session:
                    set_values(session, project.id, pause_reason=BUDGET_SPENT)
                    record_event(session, project.id, "warning", f"{BUDGET_SPENT} {error}")
    elif not over and project.pause_reason == BUDGET_SPENT:
        if project.state == "paused":
            resume(database, client, project)
        else:
            with database.write() as session:
                set_values(session, project.id, pause_reason=None)
