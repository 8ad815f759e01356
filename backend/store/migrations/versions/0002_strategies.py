"""What the strategies ask for: fields of task data, what decided a pick, rules by hand.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("task", sa.Column("fields", sa.JSON(), nullable=True))
    op.add_column("pick", sa.Column("details", sa.JSON(), nullable=True))
    op.add_column("project", sa.Column("rules_read_at", sa.Float(), nullable=True))
    op.add_column("project", sa.Column("rules_changed_at", sa.Float(), nullable=True))
    # Early databases of 0001 have a column that nothing fills: with it no project can be added.
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("project")}
    if "dry_picks" in columns:
        op.drop_column("project", "dry_picks")
    op.create_table(
        "hand_rule",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("view_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("read_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "view_id"),
    )
    op.create_table(
        "hand_rule_task",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("view_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("task_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "view_id", "task_id"),
    )
    # The fields of tasks that were read before are not known: every task is read once more.
    op.execute("UPDATE task SET value = NULL, content_hash = NULL")
    op.execute("UPDATE project SET first_synced_at = NULL, cursor = NULL")
