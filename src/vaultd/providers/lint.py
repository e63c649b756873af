"""What an entry of the catalogue must say beyond what every provider table must: `python -m vaultd.providers.lint`.

An operator's own table may leave open what an entry may not, since others rely on the entry without having read the
provider's documentation.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vaultd.errors import ConfigurationError
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.config import ProviderConfig
from vaultd.providers.templates import gaps
from vaultd.terms import Secret

REQUIRED = ("display_name", "expires", "grant_for", "pkce", "refusals", "revocation", "sources", "verified")
"""Keys that an entry states, also where it has the default's value."""
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_AN_APP = {"client_id": "app"}


def entry_config(table: Mapping[str, Any]) -> ProviderConfig:
    """An entry as the table of some app. Raises `pydantic.ValidationError`."""
    secretless = table.get("token_endpoint_auth_method") == "none"
    secret = {} if secretless else {"client_secret": Secret("secret")}
    return ProviderConfig.model_validate({**table, **_AN_APP, **secret})


def problems(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Everything that an entry lacks or has wrong, a sentence each."""
    if not _NAME.fullmatch(name):
        yield "its file's name is not lower-case words with dashes between them"
    for key in REQUIRED:
        if key not in table:
            yield f"{key} is missing"
    try:
        config = entry_config(table)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            yield f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
        return
    yield from _undocumented(config)
    yield from _incomplete(config)
    yield from (f"{key} has no effect beside {what}" for key, what in _without_effect(config) if key in table)


def _undocumented(config: ProviderConfig) -> Iterator[str]:
    if not config.sources:
        yield "sources is empty"
    if config.verified == "docs" and config.verified_on is None:
        yield 'verified_on is missing beside verified = "docs"'
    if config.verified == "docs" and config.app_docs is None:
        yield 'app_docs is missing beside verified = "docs"'
    addresses = [*config.sources, *([config.app_docs] if config.app_docs else [])]
    if any(not url.startswith("https://") for url in addresses):
        yield "an address of its documentation is not https"
    if any(refusal.page is None or refusal.seen is None for refusal in config.refusals):
        yield "a refusal has no page, or not the day on which it was seen there"
    undescribed = sorted({*config.scopes, *config.scope_rules.own} - config.scope_descriptions.keys())
    if undescribed:
        yield f"scope_descriptions lacks {', '.join(undescribed)}"


def _incomplete(config: ProviderConfig) -> Iterator[str]:
    if config.allow_private_hosts or config.fixed_settings or config.extends:
        yield "it decides what is the operator's: allow_private_hosts, fixed_settings, extends"
    if not config.names_accounts:
        yield "nothing says whose account it is; userinfo_endpoint is missing, or another account_source"
    if config.revocation != "none" and config.revocation_endpoint is None:
        yield 'revocation has no revocation_endpoint; or it is revocation = "none"'
    if config.expires is not False and config.rotation is None:
        yield "rotation is missing, though its tokens end and are refreshed"
    if config.changeable_id is not None:
        yield f"account_id_field names {config.changeable_id}, which an account's owner can change"
    for setting in config.unnamed_settings:
        yield f"account_id_field does not name setting:{setting}, so that one id may be two accounts"
    used = gaps(config.authorization_endpoint + config.token_endpoint)
    for setting in sorted(config.connection_settings.keys() - used):
        yield f"connection_settings.{setting} is used in neither authorization_endpoint nor token_endpoint"


def _without_effect(config: ProviderConfig) -> Iterator[tuple[str, str]]:
    """Keys that say something of what the entry does not do. A table may take such over, and an entry need not."""
    if not config.refresh_sends_scopes:
        yield "refresh_adds_scopes", "refresh_sends_scopes = false"
    if config.narrowing != "github_scoped":
        yield "narrowing_endpoint", f'narrowing = "{config.narrowing}"'
    if not config.reads_id_tokens:
        yield "id_token_issuers", "an account_id_field that names no id_token"
    if not config.asks_userinfo and not config.userinfo_metadata:
        yield "userinfo_endpoint", "an account_id_field that names no userinfo"
    if config.rotation == "never":
        yield "rotation_grace", 'rotation = "never"'
    if config.revocation != "rfc7009":
        for key in ("revocation_token", "revocation_hint", "revocation_auth_method"):
            yield key, f'revocation = "{config.revocation}"'
    if config.revocation == "none":
        yield "revocation_ends", 'revocation = "none"'


def main(folder: Path | None = None) -> int:
    """Report on every entry of a folder, the package's unless given; 1 if something is wrong with one."""
    wrong = 0
    for name, table in load_catalogue(folder).items():
        for problem in problems(name, table):
            sys.stdout.write(f"{name}.toml: {problem}\n")
            wrong += 1
    sys.stdout.write(f"{wrong} to mend.\n" if wrong else "Every entry is whole.\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
    except ConfigurationError as error:
        sys.exit(error.description)
