"""Narrowed tokens, and the switch for an agent's use while its user is away."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCRIPTS = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for statement in (SCRIPTS / "0002_uses.sql").read_text(encoding="utf-8").split("--;;\n"):
        connection.exec_driver_sql(statement)
