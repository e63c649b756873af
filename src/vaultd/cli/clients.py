"""`vaultd clients`."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that `vaultd --help` is quick

from __future__ import annotations

from typing import Annotated

import typer

from vaultd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, group
from vaultd.cli.output import say, write_json

clients = group("The clients of the vault: agents' backends and operators' programs.")


@clients.command("new-secret")
def new_secret(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The client's name: that of its [clients.NAME] table.")],
    as_json: JsonOption = False,
) -> None:
    """Make a secret for a client. It is shown once; the configuration needs its hash only.

    Example: vaultd clients new-secret briefing-agent
    """
    import json
    import secrets

    from vaultd.clients.registry import hash_secret
    from vaultd.terms import Secret

    made = Secret(secrets.token_urlsafe(32))
    if as_json:
        write_json({"client_id": name, "secret": made.reveal(), "hash": hash_secret(made)})
        return
    say(f"For the client, shown only now:\n\n  {made.reveal()}\n\nFor the configuration:\n")
    # A quoted key is right for every name, a bare one only for some.
    say(f'  [clients.{json.dumps(name)}]\n  secret = "{hash_secret(made)}"')


@clients.command()
def explain(
    *,
    client: Annotated[str, typer.Argument(metavar="CLIENT", help="The client's name.")],
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="The connection's name.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="What the request asks for; several in quotes, or the option again.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say what would be decided for a client at a provider, and why.

    Exits with 1 if it were refused whatever the user granted.

    Example: vaultd clients explain briefing-agent github --scope "repo read:user"
    """
    from vaultd.cli.explain import as_json as to_json
    from vaultd.cli.explain import as_text, find
    from vaultd.cli.explain import explain as explained
    from vaultd.cli.files import load_settings
    from vaultd.terms import Scopes

    settings = load_settings(config)
    requested = Scopes.parse(" ".join(scope or ())) or None
    told = explained(settings, *find(settings, client, provider), requested)
    if as_json:
        write_json(to_json(told))
    else:
        for line in as_text(told):
            say(line)
    raise typer.Exit(0 if told.refusal is None else 1)
