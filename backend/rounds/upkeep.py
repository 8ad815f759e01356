"""What a sync job does beyond reading: keep the window filled and ask for what is due."""

import logging
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.labelstudio import LabelStudio
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.embed import missing
from backend.rounds.embedded import pool_embeddings
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.publish import Publisher
from backend.rounds.rank import Ranker
from backend.rounds.rules import Rules
from backend.rounds.schema import schema_of
from backend.rounds.sync import Sync
from backend.rounds.window_inputs import window_inputs
from backend.store import work
from backend.store.projects import installation_name, model_version, set_values
from backend.store.tables import Pick, Project, Round
from backend.store.work import Lease
from backend.stream import follow_advice, follow_budget

logger = logging.getLogger(__name__)

# A window this empty is topped up: at half, and small windows always, since a few quick annotators
# empty them while a sync is under way.
LOW_SHARE = 0.5
LEAST_UNANSWERED = 25
VERSIONS_KEPT = 20


def sync_and_fill(context: ProjectContext, lease: Lease) -> None:
    """Sync, publish or top up the window where it is due, and request rounds and embedding."""
    before = _unanswered(context)
    Sync(
        context.database,
        context.client,
        lease,
        stable_total_seconds=context.settings.stable_total_seconds,
        embeddings=partial(pool_embeddings, context),
    ).run()
    Rules(context.database, context.client, lease).read()
    project = context.project()
    if schema_of(project) is None or not project.total:
        return
    # Nothing more is queued in a stream that is about to stop.
    follow_budget(context.database, context.client, context.project())
    if context.project().state != "paused":
        fill_where_due(context, lease, before)
    request_due(context)
    follow_advice(context.database, context.client, context.project())


def fill_where_due(context: ProjectContext, lease: Lease, unanswered_before: int) -> None:
    """Publish a new window or top the one in force up, unless nothing changed since that failed.

    `unanswered_before` is how many positions were open at the last sync.
    """
    size = context.config.window
    with context.database.read() as session:
        anew = needs_new_window(session, context.project())
    if not anew:
        unanswered = _unanswered(context)
        if unanswered >= max(LOW_SHARE * size, min(LEAST_UNANSWERED, size)):
            return
        # As many again as were answered since the last sync will be until the next one.
        size += max(unanswered_before - unanswered, 0)
    with context.database.read() as session:
        inputs = window_inputs(session, context)
    if context.project().exhausted_inputs == inputs:
        return
    if not fill_window(context, lease, size, anew=anew):
        with context.database.write() as session:
            lease.check(session)
            set_values(session, context.project_id, exhausted_inputs=inputs)


def _unanswered(context: ProjectContext) -> int:
    """Positions that nobody has looked at: a skipped one that waits for another fills no window."""
    with context.database.read() as session:
        project = context.project()
        waiting = {p.task_id for p in queue.current_queue(session, project).positions}
        return len(waiting - annotated_task_ids(session, project.id))


def needs_new_window(session: Session, project: Project) -> bool:
    """Whether there is no window, one that the hold-outs' draw or the rules by hand have overtaken,
    or a switch that was cut short.

    Read from the state and not remembered by a job: a job that was killed leaves it true.
    """
    version = project.queue_version
    if version is None or queue.staged_versions(session, project.id) - {version}:
        return True
    published = session.scalar(
        sa.select(sa.func.min(Pick.created_at)).where(
            Pick.project_id == project.id, Pick.version == version
        )
    )
    overtaken = max(project.holdout_drawn_at or 0.0, project.rules_changed_at or 0.0)
    return published is not None and published < overtaken


def fill_window(context: ProjectContext, lease: Lease, size: int, *, anew: bool) -> bool:
    """Publish a new window outside a round, or top the one in force up to `size` unanswered.

    False where there was nothing to fill it with.
    """
    project = context.project()
    with context.database.read() as session:
        last = queue.current_queue(session, project).next_ordinal
    ranker = Ranker(context, context.live_model(), project.round_number, seed_offset=last)
    publisher = Publisher(
        context.database,
        context.client,
        lease,
        ranker.choose,
        ranker.labels_of,
        context.schema,
        ranker.blocked,
    )
    if not anew:
        return publisher.top_up(size, project.round_number) > 0
    publisher.publish(project.round_number, lease.check)
    with context.database.read() as session:
        return not needs_new_window(session, context.project())


def request_due(context: ProjectContext) -> None:
    """Ask for a round where enough labels changed, and for embedding where some is missing."""
    with context.database.read() as session:
        project = session.get_one(Project, context.project_id)
        incomplete = bool(missing(session, context).all())
        wants_round = round_is_due(session, project, context.config.retrain_every)
        embeds = work.is_waiting(session, project.id, "embed")
    if wants_round:
        work.request(context.database, context.project_id, "round")
    if incomplete and not embeds:
        work.request(context.database, context.project_id, "embed")


def round_is_due(session: Session, project: Project, retrain_every: int) -> bool:
    """Whether enough labels changed since the last snapshot for a round that is not asked for."""
    if project.state != "active" or work.is_waiting(session, project.id, "round"):
        return False
    seen = project.round_label_changes
    running = session.scalars(
        sa.select(Round).where(Round.project_id == project.id, Round.state == "running")
    ).first()
    if running is not None:
        if running.stage == "sync":
            return False  # its snapshot comes after its sync and will hold these labels
        seen = running.label_changes
    return project.label_changes - seen >= retrain_every


def clean_old_versions(context: ProjectContext) -> int:
    """Delete this installation's old predictions in Label Studio where many piled up; how many."""
    number = context.project().label_studio_id
    client: LabelStudio = context.client
    name = installation_name(context.database)
    # Listed before it is asked what is in use: a version that a round imports meanwhile is either
    # not in the list, or known to be staged or in force by then.
    found = client.versions(number)
    with context.database.read() as session:
        project = session.get_one(Project, context.project_id)
        used = {project.queue_version, model_version(name, project.model_round)}
        used |= queue.staged_versions(session, project.id)
    old = [
        version
        for version in found
        if version.startswith(f"asknext-{name}-") and version not in used
    ]
    if len(old) < VERSIONS_KEPT:
        return 0
    for version in old:
        client.delete_version(number, version)
    return len(old)
