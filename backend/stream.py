"""Pausing and resuming a project's label stream (no setting of Label Studio's does it directly).

With `maximum_annotations` at 0 Label Studio serves nobody; the old value is kept in the state
before it is changed, so that `resume`, `disconnect` and a crash between the two all restore it.
"""

from backend.errors import AskNextError, LabelStudioRefusedError
from backend.labelstudio import LabelStudio
from backend.store import work
from backend.store.database import Database
from backend.store.projects import record_event, set_values
from backend.store.tables import Project


def pause(database: Database, client: LabelStudio, project: Project) -> None:
    """Stop serving tasks to everybody.

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
        set_values(session, project.id, state="paused")
        record_event(session, project.id, "info", "The label stream was paused.")


def resume(database: Database, client: LabelStudio, project: Project) -> None:
    """Serve tasks again, from the same queue."""
    if project.state != "paused" and project.paused_overlap is None:
        return
    client.update_project(project.label_studio_id, maximum_annotations=project.paused_overlap or 1)
    with database.write() as session:
        set_values(session, project.id, state="active", paused_overlap=None)
        record_event(session, project.id, "info", "The label stream was resumed.")
        work.request_in(session, project.id, "sync")
