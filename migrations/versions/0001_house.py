"""Roles, keys, subjects, connections, sessions, and the append-only audit log.

Run by a member of `vaultd_owner` or by a role that may create roles. There is no way down: an append-only log
is not unmade by a tool.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCRIPTS = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for part in ("roles", "tables", "audit", "grants"):
        script = (SCRIPTS / f"0001_{part}.sql").read_text(encoding="utf-8")
        for statement in script.split("--;;\n"):
            connection.exec_driver_sql(statement)
