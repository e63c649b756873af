"""The commands and their options; what they do stands in the modules beside this one and in the sandbox."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that `vaultd --help` is quick

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaultd.cli.clients import clients
from vaultd.cli.connections import connections
from vaultd.cli.operations import audit, keys
from vaultd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, group
from vaultd.cli.output import outside, say, write_json
from vaultd.cli.providers import providers

app = group("A self-hosted vault for the OAuth tokens that agents use on behalf of people.")
app.add_typer(keys, name="keys")
app.add_typer(audit, name="audit")
app.add_typer(clients, name="clients")
app.add_typer(providers, name="providers")
app.add_typer(connections, name="connections")


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        from vaultd import __version__

        say(f"vaultd {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    del version
    from vaultd.cli.memory import keep_memory_private
    from vaultd.telemetry import configure_logging

    keep_memory_private()
    # What goes wrong on the way is told in the log's words, never with the values that were at hand.
    configure_logging(level="warning", json=False)


@app.command()
def serve(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=256, help="How many processes serve.")] = 1,
) -> None:
    """Serve the vault.

    Example: vaultd serve --config /etc/vaultd.toml --host 0.0.0.0 --workers 4
    """
    from vaultd.cli.serving import run

    run(config, host=host, port=port, workers=workers)


@app.command()
def dev(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65000, help="The vault's port, the others follow it; 0 takes free ones.")
    ] = 8080,
    data: Annotated[
        Path | None, typer.Option(help="A folder to keep the data in; without it they are gone at the end.")
    ] = None,
    own_app: Annotated[
        str | None,
        typer.Option("--app", metavar="URL", help="A page of your own app: users may be sent back there."),
    ] = None,
    client: Annotated[
        str | None,
        typer.Option(metavar="NAME=URL", help="An app of yours that signs users in and is a client of its own."),
    ] = None,
    client_env: Annotated[
        Path | None, typer.Option(help="The file to write that client's environment to, secrets included.")
    ] = None,
) -> None:
    """Run a sandbox to work against, until Ctrl-C.

    It has a PostgreSQL, the vault, an issuer, three OAuth providers and an agent, all on this machine.

    Example: vaultd dev --port 9000 --client my-app=http://127.0.0.1:3000 --client-env .env
    """
    from vaultd.cli.sandboxed import tell
    from vaultd.sandbox.app_client import AppClient
    from vaultd.sandbox.dev import run_dev

    if (client is None) != (client_env is None):
        raise typer.BadParameter("--client and --client-env go together.")
    known = AppClient.parse(client) if client is not None else None
    tell(lambda say: run_dev(say, folder=data, port=port, app=own_app, client=known, environment=client_env))


@app.command()
def demo() -> None:
    """Tell the whole story once, on real parts.

    Connect, exchange, call, audit, verify, disconnect. Exits with 1 if a step is not as it should be.

    Example: vaultd demo
    """
    from vaultd.cli.sandboxed import tell
    from vaultd.sandbox.demo import run_demo

    tell(run_demo)


@app.command()
def migrate(*, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Bring the database to this version's schema, and what it holds to this version's format.

    It can be stopped and run again. It works as the role of migration_database_url, or of database_url without one.

    Example: vaultd migrate --config /etc/vaultd.toml
    """
    import asyncio

    from vaultd.cli.database import migrate as run
    from vaultd.cli.files import load_settings
    from vaultd.cli.progress import counted

    with counted("Connections sealed anew") as tell:
        done = asyncio.run(run(load_settings(config), tell=tell))
    before, after = outside(done.before), outside(done.after)
    if as_json:
        write_json({"before": before, "after": after, "sealed_anew": done.sealed_anew})
        return
    if before == after:
        say(f"The database is at revision {after} already.")
    else:
        say(f"The database is at revision {after} now (before: {before}).")
    if done.sealed_anew:
        say(f"Connections sealed anew: {done.sealed_anew}.")


@app.command()
def check(*, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Check configuration, database, keys and endpoints.

    Shows no secret. Exits with 1 if something is not as it must be; warnings are no reason.

    Example: vaultd check --json
    """
    import asyncio

    from vaultd.cli.checks import check_all
    from vaultd.cli.files import load_settings

    # A mistaken configuration is reported by itself, since nothing else can be checked.
    findings = asyncio.run(check_all(load_settings(config)))
    failed = any(finding.state == "failed" for finding in findings)
    if as_json:
        rows = [{"what": one.what, "state": one.state, "text": one.text} for one in findings]
        write_json({"ok": not failed, "checks": rows})
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            say(f"{finding.state:<8} {finding.what:<{width}}  {finding.text}".rstrip())
    raise typer.Exit(1 if failed else 0)


@app.command("import")
def import_(
    *,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The file; - reads standard input."),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every line, and store nothing.")] = False,
    ask_provider: Annotated[
        bool, typer.Option("--ask-provider", help="Ask providers whose tokens these are, where a line does not say.")
    ] = False,
    test_refresh: Annotated[
        bool, typer.Option("--test-refresh", help="Use each refresh token once, after everything is stored.")
    ] = False,
    rate: Annotated[int, typer.Option(min=1, max=50, help="Calls to providers in a second.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Bring in the tokens that an app has kept so far, one JSON object a line: all of them, or none.

    No token is shown. Exits with 1 if a line is wrong, or a refresh token is no longer good.

    Example: vaultd import tokens.ndjson --dry-run
    """
    import asyncio

    from vaultd.cli.bringing import Wish, run, write
    from vaultd.cli.files import load_settings

    if str(file) != "-" and not file.is_file():
        raise typer.BadParameter(f"there is no file {file}", param_hint="FILE")
    if dry_run and test_refresh:
        raise typer.BadParameter(
            "uses what is stored, and a dry run stores nothing; leave one of the two out", param_hint="--test-refresh"
        )
    wish = Wish(dry_run=dry_run, ask_provider=ask_provider, test_refresh=test_refresh, rate=rate)
    report = asyncio.run(run(load_settings(config), file, wish))
    write(report, as_json=as_json)
    raise typer.Exit(0 if report.ok else 1)
