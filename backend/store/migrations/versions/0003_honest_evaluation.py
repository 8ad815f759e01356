"""Eras of hold-outs with a frozen manifest, the control's interval, and scores before training.

Revision: 0003, after 0002
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("task", sa.Column("role_era", sa.Integer(), nullable=True))
    op.add_column(
        "split_member",
        sa.Column("late", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column(
        "pick", sa.Column("rolling", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("project", sa.Column("pause_reason", sa.Text(), nullable=True))
    op.add_column(
        "project",
        sa.Column("advice_followed", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "holdout_era",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("era", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.LargeBinary(length=32), nullable=False),
        sa.Column("group_by", sa.Text(), nullable=True),
        sa.Column("strata", sa.JSON(), nullable=False),
        sa.Column("intervals", sa.JSON(), nullable=False),
        sa.Column("frames", sa.JSON(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("reports", sa.JSON(), nullable=False),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("drawn_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "era"),
    )
    op.create_table(
        "control_score",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("predicted", sa.Text(), nullable=True),
        sa.Column("given", sa.JSON(), nullable=False),
        sa.Column("scored_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "task_id"),
    )
    connection = op.get_bind()
    _keep_configurations_valid(connection)
    _write_eras(connection)


def _keep_configurations_valid(connection: sa.Connection) -> None:
    """A random share of 0, or a large one, was allowed without a word; it stays in force."""
    project = sa.table("project", sa.column("id", sa.Integer), sa.column("config", sa.JSON))
    for row in connection.execute(sa.select(project)).all():
        share = (row.config or {}).get("random_share", 0.1)
        changed = None
        if share == 0:
            changed = {**row.config, "accept_no_control": True}
        elif share >= 0.3:
            changed = {**row.config, "evaluation_cap": round(min(share + 0.2, 1.0), 6)}
        if changed is not None:
            connection.execute(
                sa.update(project).where(project.c.id == row.id).values(config=changed)
            )


def _write_eras(connection: sa.Connection) -> None:
    """The hold-outs that were drawn before: tasks by number, test lowest, validation next.

    The control was any open task from the highest number down: it begins anew as an interval that
    is extended when the next window is made.
    """
    project = sa.table(
        "project",
        sa.column("id", sa.Integer),
        sa.column("era", sa.Integer),
        sa.column("secret", sa.LargeBinary),
        sa.column("holdout_drawn_at", sa.Float),
    )
    member = sa.table(
        "split_member",
        sa.column("project_id", sa.Integer),
        sa.column("era", sa.Integer),
        sa.column("task_id", sa.Integer),
        sa.column("role", sa.String),
        sa.column("u", sa.Float),
    )
    task = sa.table(
        "task",
        sa.column("project_id", sa.Integer),
        sa.column("task_id", sa.Integer),
        sa.column("content_hash", sa.LargeBinary),
        sa.column("role_era", sa.Integer),
    )
    era = sa.table(
        "holdout_era",
        *(
            sa.column(name, kind)
            for name, kind in (
                ("project_id", sa.Integer),
                ("era", sa.Integer),
                ("secret", sa.LargeBinary),
                ("group_by", sa.Text),
                ("strata", sa.JSON),
                ("intervals", sa.JSON),
                ("frames", sa.JSON),
                ("manifest", sa.JSON),
                ("digest", sa.String),
                ("reports", sa.JSON),
                ("looks", sa.Integer),
                ("drawn_at", sa.Float),
            )
        ),
    )
    drawn = sa.select(project).where(project.c.holdout_drawn_at.is_not(None))
    for row in connection.execute(drawn).all():
        hashes = dict(
            connection.execute(
                sa.select(task.c.task_id, task.c.content_hash).where(task.c.project_id == row.id)
            ).all()
        )
        members = connection.execute(
            sa.select(member)
            .where(member.c.project_id == row.id, member.c.era == row.era)
            .order_by(member.c.role, member.c.u, member.c.task_id)
        ).all()
        manifest = [
            [one.task_id, one.role, hashes[one.task_id].hex() if hashes.get(one.task_id) else None,
             one.u]
            for one in members
        ]  # fmt: skip
        tops = {
            role: max((one.u for one in members if one.role == role), default=0.0)
            for role in ("test", "validation")
        }
        # Past the last member, before anybody who was left out: the next number a float can hold.
        step = 2.0**-53
        test_high = tops["test"] + step if tops["test"] else 0.0
        validation_high = tops["validation"] + step if tops["validation"] else test_high
        intervals = {
            "all tasks": {
                "test": [0.0, test_high],
                "validation": [test_high, validation_high],
                "control": [1.0, 1.0],
            }
        }
        document = {
            "era": row.era,
            "rule": {
                "group_by": None,
                "strata": [],
                "intervals": {
                    stratum: {role: part[role] for role in ("test", "validation")}
                    for stratum, part in intervals.items()
                    if part["validation"][1] > 0.0
                },
            },
            "secret": hashlib.sha256(row.secret).hexdigest(),
            "members": manifest,
            "drawn_at": row.holdout_drawn_at,
        }
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        connection.execute(
            sa.insert(era).values(
                project_id=row.id,
                era=row.era,
                secret=row.secret,
                group_by=None,
                strata=[],
                intervals=intervals,
                frames=[],
                manifest=manifest,
                digest=hashlib.sha256(canonical.encode()).hexdigest(),
                reports={},
                looks=0,
                drawn_at=row.holdout_drawn_at,
            )
        )
        connection.execute(
            sa.update(task).where(task.c.project_id == row.id).values(role_era=row.era)
        )
