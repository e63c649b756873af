"""`vaultd keys` and `vaultd audit`."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that `vaultd --help` is quick

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaultd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, group
from vaultd.cli.output import outside, say, write_json

keys = group("The keyring: make one, look at its keys. No command shows key material.")
audit = group("The audit log.")


@keys.command()
def generate(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    path: Annotated[
        Path | None, typer.Option(help="Where to write it, instead of [keys].path of the configuration.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a new keyring, readable by you only. Never over an existing one.

    Example: vaultd keys generate --path /var/lib/vaultd/keyring.json
    """
    from vaultd.cli.files import load_settings
    from vaultd.keys.local import generate_keyring_file
    from vaultd.terms import system_clock

    target = path or load_settings(config).keys.path
    root = generate_keyring_file(target, now=system_clock())
    if as_json:
        write_json({"path": target, "root_key": root})
    else:
        say(f"Wrote the keyring {target} with root key {root}.")
        say("Keep a copy of it somewhere safe: without it, the database cannot be read by anyone.")


@keys.command()
def status(*, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Open every key of the database with the keyring, and list them.

    Example: vaultd keys status --json
    """
    import asyncio

    from vaultd.cli.database import open_keys
    from vaultd.cli.files import load_settings

    entries = asyncio.run(open_keys(load_settings(config)))
    if as_json:
        write_json(
            [{"id": e.key.id, "purpose": e.purpose, "state": e.state, "created_at": e.created_at} for e in entries]
        )
        return
    for entry in entries:
        purpose, state = outside(entry.purpose), outside(entry.state)
        say(f"{entry.key.id}  {purpose:<8} {state:<13} {entry.created_at.isoformat()}")


@audit.command()
def verify(*, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Check that no event of the audit log is missing or altered, and that every row is what the log says.

    Exits with 1 if anything is not. Nothing is changed.

    Example: vaultd audit verify --config /etc/vaultd.toml
    """
    import asyncio

    from vaultd.cli.database import verify_audit
    from vaultd.cli.files import load_settings

    report = asyncio.run(verify_audit(load_settings(config)))
    if as_json:
        counts = {
            "lanes": report.lanes,
            "open_lanes": report.open_lanes,
            "events": report.events,
            "subjects": report.subjects,
            "connections": report.connections,
        }
        write_json({"ok": not report.findings, **counts, "findings": report.findings})
    else:
        for finding in report.findings:
            say(outside(finding))
        verdict = f"Findings: {len(report.findings)}." if report.findings else "No event is missing, none was altered."
        log = f"Events: {report.events}. Lanes: {report.lanes}, open: {report.open_lanes}."
        say(f"{log} Subjects: {report.subjects}. Connections: {report.connections}. {verdict}")
    raise typer.Exit(1 if report.findings else 0)
