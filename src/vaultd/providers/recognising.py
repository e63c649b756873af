"""Recognising an account by what is kept of a connection, without asking the provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vaultd.providers.config import ProviderConfig
from vaultd.providers.naming import IdFields, agree, joined, parts_of, placed
from vaultd.providers.words import plain_text


def account_in(config: ProviderConfig, metadata: Mapping[str, Any]) -> str | None:
    """The account's id, where these metadata, which somebody wrote down, hold all of it.

    Of paths that stand in for each other the first alone is sure: where it is not written down it may be there.
    """
    return joined(list(_values(config, metadata, sure=True)))


def may_be(config: ProviderConfig, account_id: str, metadata: Mapping[str, Any]) -> bool:
    """Whether these metadata, which somebody wrote down, leave it open that this is the account."""
    return agree(account_id, config.account_id_field, _values(config, metadata, sure=True), ()) is not False


def is_account(config: ProviderConfig, account_id: str, former: IdFields, metadata: Mapping[str, Any]) -> bool | None:
    """Whether a connection with these metadata is of this account, None where they do not tell.

    By the paths of `former`, by which accounts were known once, both have one id.
    """
    sure = {path for part in parts_of(former) for path in part}
    return agree(account_id, config.account_id_field, _values(config, metadata), sure)


def _values(config: ProviderConfig, metadata: Mapping[str, Any], *, sure: bool = False) -> Iterator[str | None]:
    """The parts of the id, as far as the metadata were read from where they stand."""
    settings = {name: name for name in config.connection_settings}
    kept = {
        "token": {**config.metadata_fields, **settings},
        "userinfo": config.userinfo_metadata,
        "redirect": config.callback_metadata,
        "setting": settings,
    }
    for part in parts_of(config.account_id_field):
        places = [placed(path, config.account_source) for path in (part[:1] if sure else part)]
        names = [name for where, within in places for name, path in kept.get(where, {}).items() if path == within]
        yield next((text for name in names if (text := plain_text(metadata.get(name))) is not None), None)
