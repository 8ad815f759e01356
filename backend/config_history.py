"""A project's configuration over time: which source said what, what was accepted, what is in force.

Sources are `label-studio` (extra params, which arrive many times a minute), `api`, `cli` and
`file`. A source counts only when what it says differs from what it said last; the newest accepted
change wins.
"""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

import strategies
from backend.config import QueueConfig, digest_of, parse_config
from backend.errors import ConfigurationError, UnsupportedLabelConfigError
from backend.label_schema import parse_label_config
from backend.rounds.schema import apply_label_config
from backend.store import work
from backend.store.database import Database
from backend.store.tables import ConfigChange, Project

Source = Literal["label-studio", "api", "cli", "file"]

# Sources that are read again and again; what the others submit is an act of somebody's, each time.
OBSERVED: tuple[Source, ...] = ("label-studio", "file")
WRITTEN_BACK = "written back by AskNext"
# Label Studio sends the old extra params once more while it takes the new ones over.
LATE_ECHO_SECONDS = 30.0


@dataclass(frozen=True)
class Outcome:
    """What became of a submitted configuration.

    `repeated` says that this source had said the same before, so that nothing was done; `field` is
    the wrong one of a document that was just refused.
    """

    accepted: bool
    repeated: bool
    message: str | None = None
    field: str = ""


def submit(database: Database, project_id: int, source: Source, document: Any) -> Outcome:
    """Take a configuration from a source; an invalid one is recorded and the old stays in force."""
    document = _decoded(document)
    digest = digest_of(document)
    if source in OBSERVED:
        # Asked many times a minute, by a caller with three seconds: that waits for no writer.
        with database.read() as session:
            known = _repeated(session, project_id, source, digest)
        if known is not None:
            return known
    with database.write() as session:
        known = _repeated(session, project_id, source, digest) if source in OBSERVED else None
        if known is not None:
            return known
        project = session.get_one(Project, project_id)
        message = None
        field = ""
        config = None
        try:
            config = parse_config(document)
            _check_against_project(project, config)
        except (ConfigurationError, UnsupportedLabelConfigError) as error:
            message = str(error)
            field = error.path if isinstance(error, ConfigurationError) else "control"
        session.add(
            ConfigChange(
                project_id=project_id,
                source=source,
                digest=digest,
                document=document if isinstance(document, dict) else {"invalid": str(document)},
                accepted=message is None,
                message=message,
                at=time.time(),
            )
        )
        if config is None or message is not None:
            return Outcome(False, repeated=False, message=message, field=field)
        put_in_force(database, session, project, config)
        return Outcome(True, repeated=False)


# Settings that leave a window as it is.
WITHOUT_EFFECT = frozenset(
    {"batch_size", "budget", "control", "retrain_every", "test_size", "validation_size"}
)


def put_in_force(
    database: Database, session: Session, project: Project, config: QueueConfig
) -> None:
    """Make `config` the one in force, and ask for what follows from it."""
    before = project.config
    project.config = config.model_dump(mode="json")
    if before and before.get("control") != config.control and project.label_config:
        apply_label_config(database, session, project, project.label_config)
    changed = {
        name
        for name, value in project.config.items()
        if before and name not in WITHOUT_EFFECT and before.get(name) != value
    }
    if changed and project.queue_version is not None and project.holdout_drawn_at is not None:
        work.request_in(session, project.id, "round")
    work.request_in(session, project.id, "sync")


def note_written_back(session: Session, project_id: int, document: dict[str, Any]) -> int:
    """Remember what AskNext itself writes into Label Studio's extra params, to know its echo.

    The note's id, by which `forget_written_back` takes it back where the writing failed.
    """
    note = ConfigChange(
        project_id=project_id,
        source="label-studio",
        digest=digest_of(document),
        document=document,
        accepted=True,
        message=WRITTEN_BACK,
        at=time.time(),
    )
    session.add(note)
    session.flush()
    return note.id


def forget_written_back(session: Session, note: int) -> None:
    """Take a note back: Label Studio still says what it said before."""
    session.execute(sa.delete(ConfigChange).where(ConfigChange.id == note))


def history(session: Session, project_id: int) -> list[ConfigChange]:
    """Every change of a project's configuration, newest first."""
    return list(
        session.scalars(
            sa.select(ConfigChange)
            .where(ConfigChange.project_id == project_id)
            .order_by(ConfigChange.id.desc())
        )
    )


def refusal(session: Session, project_id: int) -> str | None:
    """The newest refusal that no accepted change has followed."""
    newest = session.scalars(
        sa.select(ConfigChange)
        .where(ConfigChange.project_id == project_id)
        .order_by(ConfigChange.id.desc())
    ).first()
    if newest is None or newest.accepted:
        return None
    return f"The configuration from {newest.source} was refused: {newest.message}"


def _decoded(document: Any) -> Any:
    """JSON text as what it says, so that it is known again in either form; nothing as {}."""
    if document is None or document == "":
        return {}
    if isinstance(document, str):
        with suppress(ValueError, RecursionError):
            return json.loads(document)
    return document


def _repeated(session: Session, project_id: int, source: Source, digest: str) -> Outcome | None:
    """What became of this document where the source has said nothing else since; else None."""
    last = session.scalars(
        sa.select(ConfigChange)
        .where(ConfigChange.project_id == project_id, ConfigChange.source == source)
        .order_by(ConfigChange.id.desc())
        .limit(1)
    ).first()
    if last is None:
        return None
    if last.digest == digest:
        return Outcome(last.accepted, repeated=True, message=last.message)
    if _is_late_echo(session, last, digest):
        return Outcome(True, repeated=True)
    return None


def _is_late_echo(session: Session, last: ConfigChange, digest: str) -> bool:
    """Whether this is what the source said before AskNext wrote another document back to it.

    Somebody who really goes back to it within that time is heard when it is sent again later.
    """
    if last.message != WRITTEN_BACK or last.at < time.time() - LATE_ECHO_SECONDS:
        return False
    before = session.scalars(
        sa.select(ConfigChange)
        .where(
            ConfigChange.project_id == last.project_id,
            ConfigChange.source == last.source,
            ConfigChange.id < last.id,
        )
        .order_by(ConfigChange.id.desc())
    ).first()
    return before is not None and before.digest == digest


def _check_against_project(project: Project, config: QueueConfig) -> None:
    if not project.label_config:
        return
    schema = parse_label_config(project.label_config, config.control)
    if config.explain_field is not None:
        columns = strategies.parse(config.strategy).columns
        if config.explain_field in {schema.data_key, config.group_by, *columns}:
            raise ConfigurationError(
                "explain_field",
                f"AskNext would write over {config.explain_field!r}, which the labelling config or "
                "this configuration reads; name a field of its own, such as asknext_reason",
            )
    fits = {"text": ("auto", "minilm", "static"), "image": ("auto", "efficientnet-lite0")}
    if config.encoder not in fits[schema.kind]:
        raise ConfigurationError(
            "encoder",
            f"{config.encoder} does not read {schema.kind}s; use one of "
            f"{', '.join(fits[schema.kind])}",
        )
