"""When a connection's token is renewed ahead of time."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCRIPTS = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for statement in (SCRIPTS / "0003_renewal.sql").read_text(encoding="utf-8").split("--;;\n"):
        connection.exec_driver_sql(statement)
