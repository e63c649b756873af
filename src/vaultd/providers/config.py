"""A `[providers.X]` table: an OAuth 2 provider and this installation's app there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

from pydantic import ValidationInfo, field_validator

from vaultd.config_types import Text, check_endpoint
from vaultd.providers.config_about import AboutConfig
from vaultd.providers.config_answers import AnswersConfig, LifeConfig
from vaultd.providers.config_endpoints import ADDRESSES, EndpointsConfig, check_gaps
from vaultd.providers.config_naming import NamingConfig
from vaultd.providers.config_notices import NoticesConfig
from vaultd.providers.config_refusals import RefusalsConfig
from vaultd.providers.config_requests import RequestsConfig
from vaultd.providers.config_revocation import RevocationConfig
from vaultd.providers.config_scopes import ScopesConfig
from vaultd.providers.naming import parts_of, placed
from vaultd.providers.templates import fill, gaps

Narrowing: TypeAlias = Literal["none", "refresh", "github_scoped"]

_CHANGEABLE = frozenset(
    {"display_name", "email", "login", "name", "nickname", "phone_number", "preferred_username", "upn", "username"}
)
"""What providers call names and addresses (OpenID Connect Core 1.0 §5.7)."""
_METADATA = ("metadata_fields", "userinfo_metadata", "callback_metadata")


def _last(path: str) -> str:
    """The name of the member at which a path ends."""
    return path.rpartition(".")[2].rpartition(":")[2]


# The bases' keys are checked from the last base to the first, and a rule looks at keys that were checked before.
class ProviderConfig(
    AboutConfig,
    NoticesConfig,
    RevocationConfig,
    RefusalsConfig,
    LifeConfig,
    NamingConfig,
    AnswersConfig,
    ScopesConfig,
    RequestsConfig,
    EndpointsConfig,
):
    """One provider, the catalogue's entry of that name merged in. Its name is its connection's name.

    `narrowing` is how a token for fewer scopes than the grant's is had: "refresh" by a refresh that names them
    (RFC 6749 §6), for a provider where earlier access tokens stay good and a rotated refresh token keeps the whole
    grant; "github_scoped" by GitHub's own exchange at `narrowing_endpoint`, for the clients whose entry says to what.
    """

    extends: Text | None = None
    narrowing: Narrowing = "none"
    accounts: Literal["multiple", "single"] = "multiple"

    @property
    def narrows(self) -> bool:
        """Whether a token for fewer scopes than the grant's can be had here by a refresh."""
        return self.narrowing == "refresh"

    @property
    def refreshed_at(self) -> str:
        """Where a refresh is asked for."""
        return self.refresh_endpoint or self.token_endpoint

    @property
    def asked_twice(self) -> bool:
        """Whether a first word that a grant is dead is asked about once more: nothing is lost by that here."""
        return self.dead_only_twice or self.rotation == "never"

    @property
    def app(self) -> str:
        """What names this installation's app at the provider; apps of one name have their grants in common."""
        found = re.match(self.app_pattern, self.client_id) if self.app_pattern else None
        # A part of nothing would make all apps one.
        return (found.group() if found else "") or self.client_id

    @property
    def named_in(self) -> frozenset[str]:
        """The answers in which the parts of an account's id stand."""
        paths = (path for part in parts_of(self.account_id_field) for path in part)
        return frozenset(placed(path, self.account_source)[0] for path in paths)

    @property
    def unnamed_settings(self) -> tuple[str, ...]:
        """Connection settings that are no part of an account's id: one id may then stand for accounts at two places."""
        named = {path for part in parts_of(self.account_id_field) for path in part}
        settings = (name for name in self.connection_settings if name not in self.fixed_settings)
        return tuple(name for name in settings if not {name, f"setting:{name}", f"token:{name}"} & named)

    @property
    def changeable_id(self) -> str | None:
        """The part of an account's id that its owner can change, or lose to another, as far as its name tells."""
        paths = (path for part in parts_of(self.account_id_field) for path in part)
        return next((path for path in paths if _last(path) in _CHANGEABLE), None)

    @property
    def reads_id_tokens(self) -> bool:
        """Whether an ID token says whose account a grant is, or a part of it."""
        return "id_token" in {self.account_source, *self.named_in}

    @property
    def asks_userinfo(self) -> bool:
        """Whether userinfo says whose account a grant is, or what its owner calls it."""
        return "userinfo" in {self.account_source, *self.named_in} or any(
            path.startswith("userinfo:") for path in (*self.account_label_fields, *self.account_place_fields)
        )

    @property
    def names_accounts(self) -> bool:
        """Whether the provider tells whose account a grant is."""
        return "userinfo" not in self.named_in or self.userinfo_endpoint is not None

    @property
    def accounts_named_by(self) -> tuple[object, ...]:
        """What tells whose account a grant is: where it is one for two tables, an account has one id in both."""
        endpoint = self.userinfo_endpoint if "userinfo" in self.named_in else None
        return self.account_source, parts_of(self.account_id_field), endpoint or ""

    def filled(self, values: Mapping[str, str]) -> Self:
        """This table with the gaps in its addresses filled.

        Raises:
            ValueError: a value is missing, does not match its pattern, or may not stand in its place.
        """
        for name, setting in self.connection_settings.items():
            if not re.fullmatch(setting.pattern, values[name]):
                raise ValueError(f"{name} does not match its pattern")
        addresses = {name: getattr(self, name) for name in ADDRESSES}
        update: dict[str, Any] = {name: fill(url, values) for name, url in addresses.items() if url is not None}
        if self.lookup is not None:
            endpoint = fill(self.lookup.endpoint, values)
            update["lookup"] = self.lookup.model_copy(update={"endpoint": endpoint})
        update["fixed_settings"] = {name: values[name] for name in self.connection_settings}
        update["id_token_issuers"] = tuple(fill(issuer, values) for issuer in self.id_token_issuers)
        return self.model_copy(update=update)

    @field_validator("allowed_authorization_params", *_METADATA)
    @classmethod
    def _no_setting(
        cls, names: dict[str, str] | tuple[str, ...], info: ValidationInfo
    ) -> dict[str, str] | tuple[str, ...]:
        # A setting chooses a host, so nothing that is given or answered later may take its place (C0).
        settings = sorted(info.data.get("connection_settings", {}).keys() & set(names))
        if settings:
            raise ValueError(f"names {', '.join(settings)}, which is one of connection_settings; write another name")
        return names

    @field_validator("narrowing")
    @classmethod
    def _has_what_it_needs(cls, narrowing: str, info: ValidationInfo) -> str:
        if narrowing != "github_scoped":
            return narrowing
        if info.data.get("narrowing_endpoint", "") is None:
            raise ValueError("has no narrowing_endpoint beside it; write one")
        if info.data.get("client_secret", narrowing) is None:
            raise ValueError("needs a client_secret, by which the app proves itself; write one")
        return narrowing

    @field_validator("notices_issuer")
    @classmethod
    def _reachable(cls, url: str, info: ValidationInfo) -> str:
        return check_endpoint(url, info.data.get("allow_private_hosts"))

    @field_validator("id_token_issuers")
    @classmethod
    def _known_issuer(cls, issuers: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        by_id_token = info.data.get("account_source") == "id_token" or any(
            path.startswith("id_token:") for part in parts_of(info.data.get("account_id_field", "sub")) for path in part
        )
        if by_id_token and not issuers and info.data.get("issuer") is None:
            raise ValueError('is missing beside account_source = "id_token"; write the iss of its ID tokens')
        check_gaps(gaps(" ".join(issuers)), info.data.get("connection_settings"))
        return issuers
