"""Bind what was clear, and leave the serving role only what serving needs.

`vaultd migrate` then seals the rows of before anew (`vaultd.resealing`); until it has finished, both formats are read.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCRIPTS = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for part in ("bound", "rights"):
        for statement in (SCRIPTS / f"0006_{part}.sql").read_text(encoding="utf-8").split("--;;\n"):
            connection.exec_driver_sql(statement)
