"""`vaultd providers`."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that `vaultd --help` is quick

from __future__ import annotations

from typing import Annotated

import typer

from vaultd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, group
from vaultd.cli.output import say, write_json

providers = group("The OAuth providers of the configuration and of the catalogue.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The provider's name: that of its [providers.NAME] table.")]


@providers.command("list")
def list_providers(
    *,
    catalogue: Annotated[
        bool, typer.Option("--catalogue", help="List what the catalogue knows instead; needs no configuration.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the configured providers, or those that need no more than your app's credentials.

    Example: vaultd providers list --catalogue
    """
    from vaultd.cli.entries import catalogued
    from vaultd.cli.files import load_settings
    from vaultd.providers.registry import Providers

    known = catalogued() if catalogue else Providers(configs=load_settings(config).providers)
    if as_json:
        write_json(
            [
                {"name": one.name, "display_name": one.display_name, "scopes": one.config.scopes}
                | ({"verified": one.config.verified} if catalogue else {})
                for one in known.all()
            ]
        )
        return
    for one in known.all():
        say(f"{one.name:<20} {one.display_name:<20} {' '.join(one.config.scopes)}".rstrip())


@providers.command()
def show(*, name: Name, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show one provider as the vault uses it, the catalogue's part included and its secret left out.

    One that is not configured is shown as the catalogue has it.

    Example: vaultd providers show github
    """
    from vaultd.cli.entries import find, lines_of, shown

    found = find(name, config)
    table = shown(found)
    if as_json:
        write_json({"name": name, "configured": found.configured, **table})
        return
    if not found.configured:
        say(f"# Not configured: write [providers.{name}] with your app's client_id and client_secret.")
    for key, text in lines_of(table):
        say(f"{key:<28} {text}".rstrip())


@providers.command()
def check(
    *,
    name: Name,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="What a user would be asked for, such as shop=my-shop; may be repeated."
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Ask each address of a provider, configured or not, for an answer. Nothing secret is sent.

    Says what vaultd asks for itself, and which clients' lists cannot work there. Exits with 1 if an address does not
    answer.

    Example: vaultd providers check github
    """
    import asyncio

    from vaultd.cli.checks import Finding
    from vaultd.cli.endpoints import check_endpoints
    from vaultd.cli.entries import find, settings_of
    from vaultd.cli.files import load_settings
    from vaultd.cli.warnings import list_warnings

    found = find(name, config)
    provider = found.provider
    findings = asyncio.run(check_endpoints(provider.at(settings_of(provider, setting or ()))))
    if found.configured:
        lists = list_warnings(load_settings(config), name, provider.config)
        findings += [Finding(what, "warning", text) for what, text in lists]
    if as_json:
        write_json([{"what": one.what, "state": one.state, "text": one.text} for one in findings])
    else:
        for one in findings:
            say(f"{one.state:<8} {one.what:<24} {one.text}".rstrip())
    raise typer.Exit(1 if any(one.state == "failed" for one in findings) else 0)
