"""Keep what a verdict ended for a while, sealed, so that a wrong one can be undone; note when refresh tokens end."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCRIPTS = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for statement in (SCRIPTS / "0007_kept.sql").read_text(encoding="utf-8").split("--;;\n"):
        connection.exec_driver_sql(statement)
