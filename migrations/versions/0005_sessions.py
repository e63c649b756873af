"""Sessions that their issuer can end, and sign-ins that nobody finished, forgotten with their keys."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCRIPTS = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for statement in (SCRIPTS / "0005_sessions.sql").read_text(encoding="utf-8").split("--;;\n"):
        connection.exec_driver_sql(statement)
