"""Following a project's labelling config: numbered label schemas, and labels derived again."""

import time

from sqlalchemy.orm import Session

from backend.errors import UnsupportedLabelConfigError
from backend.label_schema import LabelSchema, parse_label_config
from backend.rounds import mirror
from backend.rounds.labels import derive_labels
from backend.store import work
from backend.store.database import Database
from backend.store.projects import record_event
from backend.store.tables import Project


def apply_label_config(
    database: Database, session: Session, project: Project, label_config: str
) -> None:
    """Follow a changed labelling config: a new numbered label schema, labels derived again."""
    project.label_config = label_config
    try:
        schema = parse_label_config(label_config, project.config.get("control"))
    except UnsupportedLabelConfigError as error:
        project.classes = []
        project.last_error = str(error)
        project.last_error_at = time.time()
        record_event(session, project.id, "error", str(error))
        return
    before = (project.control, project.data_key, tuple(project.classes))
    if before == (schema.control, schema.data_key, schema.classes):
        project.object_name, project.kind = schema.object_name, schema.kind
        return
    removed = [name for name in project.classes if name not in schema.classes]
    other_content = project.data_key != schema.data_key
    if not project.classes:  # whatever was said of an unusable config is no longer true
        project.last_error = project.last_error_at = None
    project.control, project.object_name = schema.control, schema.object_name
    project.kind, project.data_key = schema.kind, schema.data_key
    project.classes = list(schema.classes)
    project.schema_number += 1
    session.flush()
    if other_content:
        mirror.rehash_tasks(session, project.id)
        project.first_synced_at = None
        project.cursor = None
    changes = derive_labels(database, session, project, None)
    if project.schema_number > 1:
        work.request_in(session, project.id, "round")  # the model must know the new classes
        lost = f"; {', '.join(removed)} no longer exist" if removed else ""
        record_event(
            session,
            project.id,
            "warning",
            f"The labelling config changed: label schema {project.schema_number} with "
            f"{len(schema.classes)} classes{lost}; {changes} labels changed.",
        )


def schema_of(project: Project) -> LabelSchema | None:
    """The project's label schema as stored; None while the labelling config is unusable."""
    if not project.classes or project.kind not in ("text", "image"):
        return None
    return LabelSchema(
        str(project.control),
        str(project.object_name),
        "text" if project.kind == "text" else "image",
        str(project.data_key),
        tuple(project.classes),
    )
