"""A project's own overlap, and how sure the model that scored a control label was elsewhere.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("project", sa.Column("overlap", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("control_score", sa.Column("reserve_confidence", sa.Float(), nullable=True))
