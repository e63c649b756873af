"""`docs/providers.md`, written from the catalogue: `python -m vaultd.providers.table > docs/providers.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.config import ProviderConfig
from vaultd.providers.lint import entry_config
from vaultd.providers.naming import parts_of

INTRODUCTION = """\
# Providers

<!-- Written from the catalogue by `python -m vaultd.providers.table > docs/providers.md`; a test compares the two. -->

A provider of this list needs no more in `vaultd.toml` than your own app's credentials, under its name:

```toml
[providers.github-app]
client_id = "…"
client_secret = "env:GITHUB_SECRET"
```

The app's callback URL is `<public_url>/auth/callback/<name>`. Every key of an entry can be overridden in your table;
`vaultd.example.toml` explains them, and `vaultd providers show NAME` shows what vaultd then uses. Several apps of one
provider are several tables, `extends = "github"` in the second. A provider that is not listed is a table of yours with
its endpoints; no code is needed.

**For**: what a grant is for; see below. **Verified**: "docs" where every value was found in the provider's own
documentation on the day of the entry, "unverified" where some were found in other public sources only (the sources are
named below). **Ends**: whether access tokens end and are refreshed. **Rotation**: whether a refresh brings another
refresh token. **Narrowing**: whether a token for fewer scopes than the user granted can be had. **Revocation**: how
tokens are given back when a user disconnects; with "none", vaultd erases them and the user's own settings at the
provider end the rest.

What a grant is for is an account: two consents for two companies are two accounts, which users see beside each other
and agents choose by `login_hint`, and neither takes the other's place. "A person" is one account wherever they are; "a
member" is a person within one workspace, team or organisation, so that who belongs to two of them has two accounts; a
workspace, a company, an account or a site is one account, whoever of its people consents. With `accounts = "single"` in
your table a user has one of them: a consent for another is refused with the words that another account is connected
already, in an event `connection.refused` with the reason `account_limit`; what was just granted is given back, and what
was there stays as it is.

By what an account is known is `account_id_field`. If you change it in a table of yours, or a release does in an entry,
connections from before go on as they are, and keep their id until their user connects again. For that moment
`former_account_id_fields` says what it was. A connection under the former id is the account's own if its metadata say
so, or the provider does when asked with its token; it is then renewed in its place. If it is another account's, it
stays beside the new one. Where neither tells, one that is broken is renewed, and one that lives stays beside the new
one; its user may disconnect it.
"""
_REVOCATION: Mapping[str, str] = {
    "rfc7009": "RFC 7009",
    "github_grant": "the grant, by GitHub's API",
    "slack": "auth.revoke",
    "stripe": "the app's connection with the account",
    "bearer_post": "by the token itself",
    "delete_bearer": "by the token itself",
    "none": "none",
}
_FOR: Mapping[str | None, str] = {
    "person": "a person",
    "member": "a member",
    "workspace": "a workspace",
    "company": "a company",
    "account": "an account",
    "site": "a site",
    None: "—",
}
_COLUMNS = (
    "Name",
    "Provider",
    "For",
    "Verified",
    "Ends",
    "Rotation",
    "Narrowing",
    "Revocation",
    "PKCE",
    "Make the app",
)


def render(catalogue: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page."""
    configs = {name: entry_config(table) for name, table in sorted(catalogue.items())}
    lines = [INTRODUCTION, _row(_COLUMNS), _row(["---"] * len(_COLUMNS))]
    lines += [_row(_cells(name, config)) for name, config in configs.items()]
    for name, config in configs.items():
        lines += ["", *_section(name, config)]
    return "\n".join(lines) + "\n"


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cells(name: str, config: ProviderConfig) -> list[str]:
    return [
        f"[`{name}`](#{name})",
        config.display_name or name,
        _FOR[config.grant_for],
        config.verified or "",
        {True: "yes", False: "no", None: "as it says"}[config.expires],
        "—" if config.expires is False else config.rotation or "—",
        "no" if config.narrowing == "none" else "yes",
        _REVOCATION[config.revocation],
        "yes" if config.pkce else "no",
        f"[docs]({config.app_docs})" if config.app_docs else "—",
    ]


def _section(name: str, config: ProviderConfig) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    if config.notes:
        yield config.notes
        yield ""
    for setting, asked in config.connection_settings.items():
        default = f", `{asked.default}` if it is left out" if asked.default else ""
        yield f"- Asks each user for `{setting}`, like `{asked.example}`{default}: {asked.description}"
    if config.grant_for:
        yield f"- A grant is for {_FOR[config.grant_for]}, known by {_known_by(config)}"
    yield from _scopes(config)
    if config.resources:
        yield f"- `resource`: {', '.join(f'`{url}`' for url in config.resources)}"
    handed = _handed_out(config)
    if handed:
        yield f"- `connection_metadata`: {', '.join(f'`{member}`' for member in handed)}"
    if config.refresh_token_idle_limit:
        yield f"- A refresh token ends after {_span(config.refresh_token_idle_limit)} without use."
    if config.refresh_token_lifetime:
        yield f"- A refresh token ends {_span(config.refresh_token_lifetime)} after it was given."
    checked = f" ({config.verified_on})" if config.verified_on else ""
    yield f"- Sources{checked}: {', '.join(f'<{url}>' for url in config.sources)}"


def _scopes(config: ProviderConfig) -> Iterator[str]:
    if config.scopes:
        described = (f"`{scope}` ({config.scope_descriptions.get(scope, '')})" for scope in config.scopes)
        yield f"- Scopes unless told otherwise: {', '.join(described)}"
    if config.scopes_of_app == "always" and not config.scopes:
        yield "- There are no scopes to ask for: a client's list is `[]`"
    if config.scope_rules.own:
        own = ", ".join(f"`{scope}`" for scope in sorted(config.scope_rules.own))
        yield f"- vaultd itself also asks for these, which count against no client's list: {own}"


def _known_by(config: ProviderConfig) -> str:
    parts = parts_of(config.account_id_field)
    return " with ".join(" or ".join(f"`{path}`" for path in part) for part in parts)


def _handed_out(config: ProviderConfig) -> list[str]:
    # The fields that every provider's answer is looked at for say nothing about this one.
    fields = config.metadata_fields if "metadata_fields" in config.model_fields_set else {}
    lookup = [config.lookup.metadata] if config.lookup else []
    return [*fields, *config.userinfo_metadata, *config.callback_metadata, *lookup, *config.connection_settings]


def _span(seconds: int) -> str:
    span = timedelta(seconds=seconds)
    return f"{span.days} days" if span.days > 1 else f"{seconds // 3600} hours"


if __name__ == "__main__":
    sys.stdout.write(render(load_catalogue()))
