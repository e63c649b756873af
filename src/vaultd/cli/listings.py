"""`vaultd clients` and `vaultd providers`."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that `vaultd --help` is quick

from __future__ import annotations

from typing import Annotated

import typer

from vaultd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, group, write_json

clients = group("The clients of the vault: agents' backends and operators' programs.")
providers = group("The OAuth providers of the configuration.")


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
    typer.echo(f"For the client, shown only now:\n\n  {made.reveal()}\n\nFor the configuration:\n")
    # A quoted key is right for every name, a bare one only for some.
    typer.echo(f'  [clients.{json.dumps(name)}]\n  secret = "{hash_secret(made)}"')


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
            typer.echo(line)
    raise typer.Exit(0 if told.refusal is None else 1)


@providers.command("list")
def list_providers(*, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the configured providers.

    Example: vaultd providers list --json
    """
    from vaultd.cli.files import load_settings
    from vaultd.providers.registry import Providers

    known = Providers(configs=load_settings(config).providers).all()
    if as_json:
        write_json([{"name": one.name, "display_name": one.display_name, "scopes": one.config.scopes} for one in known])
        return
    for one in known:
        typer.echo(f"{one.name:<20} {one.display_name:<20} {' '.join(one.config.scopes)}".rstrip())


@providers.command()
def show(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The connection's name.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one provider as the vault uses it, the catalogue's part included and its secret left out.

    Example: vaultd providers show github
    """
    from vaultd.cli.files import load_settings
    from vaultd.errors import ConfigurationError

    configured = load_settings(config).providers
    if name not in configured:
        known = ", ".join(configured) or "none"
        raise ConfigurationError(f"There is no provider {name} in {config}. Configured: {known}.")
    table = configured[name].model_dump(exclude={"client_secret"}, exclude_none=True)
    if as_json:
        write_json({"name": name, **table})
        return
    for key, value in table.items():
        text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        typer.echo(f"{key:<28} {text}".rstrip())
