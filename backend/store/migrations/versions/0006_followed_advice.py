"""Which advice to stop was followed, instead of whether any was.

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "project",
        sa.Column("followed_advice", sa.JSON(), nullable=False, server_default="[]"),
    )
    op.execute(
        'UPDATE project SET followed_advice = \'["target", "stability", "gain"]\' '
        "WHERE advice_followed"
    )
    # Not by a copy of the table, which would take with it what refers to its rows.
    op.execute("ALTER TABLE project DROP COLUMN advice_followed")
