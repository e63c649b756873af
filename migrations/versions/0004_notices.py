"""Names by which a provider's notice finds a connection, and the order in which operators page through them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCRIPTS = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for statement in (SCRIPTS / "0004_notices.sql").read_text(encoding="utf-8").split("--;;\n"):
        connection.exec_driver_sql(statement)
