"""What the serving role may be: a member of `vaultd_app`, and nothing from which it could become more (data.md, Roles).

Membership is asked with MEMBER, whether it is inherited or not: what a role can SET ROLE to, or give itself, it can do.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.errors import SchemaError

_REMEDY = "Give `database_url` a role that is only a member of vaultd_app."

# Every role that the serving role is or can become, with what makes it too strong.
_TOO_STRONG = text(
    """SELECT role.rolname, concat_ws(', ',
        CASE WHEN role.rolsuper THEN 'is a superuser' END,
        CASE WHEN role.rolcreaterole THEN 'may create and grant roles' END,
        CASE WHEN role.rolreplication THEN 'may copy the whole server' END,
        CASE WHEN role.rolbypassrls THEN 'bypasses row level security' END,
        CASE WHEN role.rolname IN ('pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
            'pg_execute_server_program', 'pg_maintain', 'pg_signal_backend', 'pg_create_subscription')
            THEN 'has rights beyond vaultd''s tables' END,
        CASE WHEN role.rolname = 'vaultd_owner' OR EXISTS (
                SELECT FROM pg_class WHERE relowner = role.oid AND relnamespace = 'public'::regnamespace)
            OR EXISTS (SELECT FROM pg_proc WHERE proowner = role.oid AND pronamespace = 'public'::regnamespace)
            THEN 'owns the tables' END,
        CASE WHEN EXISTS (SELECT FROM pg_namespace WHERE nspowner = role.oid AND nspname = 'public')
            AND role.rolname <> 'pg_database_owner' THEN 'owns the schema' END,
        CASE WHEN EXISTS (SELECT FROM pg_database WHERE datdba = role.oid AND datname = current_database())
            THEN 'owns the database' END) AS why
    FROM pg_roles AS role WHERE pg_has_role(current_user, role.oid, 'MEMBER')"""
)
# Rights that serving never needs, whoever gave them: by these an event, a key or a subject could be made to vanish.
_TOO_MUCH = text(
    """SELECT w.privilege, w.name, NULL AS "column" FROM unnest(cast(:names AS text[]), cast(:privileges AS text[]))
        AS w (name, privilege)
    WHERE to_regclass(w.name) IS NOT NULL AND has_table_privilege(w.name, w.privilege)
    UNION ALL
    SELECT 'UPDATE', c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (cast(:unchanged AS text[]))
        AND a.attnum > 0 AND NOT a.attisdropped AND c.relname || '.' || a.attname <> ALL (cast(:changed AS text[]))
        AND has_column_privilege(c.oid, a.attnum, 'UPDATE')"""
)
_NEVER = {
    "events": ("DELETE", "TRUNCATE", "TRIGGER"),
    "lanes": ("DELETE", "TRUNCATE", "TRIGGER"),
    "keyring": ("INSERT", "DELETE", "TRUNCATE", "TRIGGER"),
    "data_keys": ("DELETE", "TRUNCATE", "TRIGGER"),
    "subjects": ("DELETE", "TRUNCATE", "TRIGGER"),
    "connections": ("DELETE", "TRUNCATE", "TRIGGER"),
    "replay": ("DELETE", "TRUNCATE", "TRIGGER"),
    "alembic_version": ("INSERT", "DELETE", "TRUNCATE", "TRIGGER"),
}
_UNCHANGED = (
    "events",
    "lanes",
    "keyring",
    "data_keys",
    "subjects",
    "replay",
    "sessions",
    "away_refusals",
    "locks",
    "alembic_version",
)
_CHANGED = ("lanes.closed_at", "lanes.last_seq", "subjects.held", "sessions.last_seen_at", "sessions.mac", "locks.held")
_MAY_CREATE = text("SELECT has_schema_privilege('public', 'CREATE')")


async def check_role(connection: AsyncConnection) -> None:
    """Raise `SchemaError` unless we serve as a member of `vaultd_app` that can do and become nothing more."""
    role = (await connection.execute(text("SELECT current_user"))).scalar_one()
    found = [(row.rolname, row.why) for row in await connection.execute(_TOO_STRONG) if row.why]
    if found:
        said = "; ".join(f"{name} {why}" for name, why in sorted(found))
        raise SchemaError(
            f"The serving role {role} could rewrite the audit log, since it is or can become each of these: {said}. "
            f"{_REMEDY}"
        )
    if not (await connection.execute(text("SELECT pg_has_role(current_user, 'vaultd_app', 'USAGE')"))).scalar_one():
        raise SchemaError(f"The serving role {role} is not in vaultd_app: `GRANT vaultd_app TO {role}`.")
    pairs = [(name, privilege) for name, privileges in _NEVER.items() for privilege in privileges]
    values = {
        "names": [name for name, _ in pairs],
        "privileges": [privilege for _, privilege in pairs],
        "unchanged": list(_UNCHANGED),
        "changed": list(_CHANGED),
    }
    extra = sorted(
        f"{row.privilege} on {row.name}" + (f" ({row.column})" if row.column else "")
        for row in await connection.execute(_TOO_MUCH, values)
    )
    if (await connection.execute(_MAY_CREATE)).scalar_one():
        extra.append("CREATE on schema public")
    if extra:
        raise SchemaError(
            f"The serving role {role} has rights that serving never needs: {', '.join(extra)}. Revoke them."
        )


async def open_to_everybody(connection: AsyncConnection) -> bool:
    """Whether every login of the server may connect to this database."""
    query = text(
        """SELECT EXISTS (SELECT FROM pg_database AS d,
            aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS granted
        WHERE d.datname = current_database() AND granted.grantee = 0 AND granted.privilege_type = 'CONNECT')"""
    )
    return bool((await connection.execute(query)).scalar_one())
