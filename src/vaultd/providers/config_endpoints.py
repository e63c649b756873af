"""Where a `[providers.X]` table says that its provider is, and what is asked of a user whose provider is elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from vaultd.config_types import ConfigTable, Host, Text, WebUrl, check_endpoint
from vaultd.providers.templates import CLIENT_ID, check_template, gaps

ADDRESSES = (
    "authorization_endpoint",
    "token_endpoint",
    "refresh_endpoint",
    "revocation_endpoint",
    "token_revocation_endpoint",
    "narrowing_endpoint",
    "userinfo_endpoint",
    "token_check_endpoint",
    "issuer",
)
"""Those that may have gaps; beside them the lookup's."""
_OF_THE_APP = frozenset({"revocation_endpoint", "token_revocation_endpoint", "narrowing_endpoint"})
"""Those that may name the app by `{client_id}`."""
_SETTING_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_TAKEN = frozenset(
    {CLIENT_ID, "chosen", "client_secret", "login_hint", "prompt", "redirect_uri", "return_to", "scope", "state"}
)
"""Names that mean something else where settings are given: in links, and among the authorization's parameters."""


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError):
        raise ValueError("is not a regular expression; write one like [a-z0-9][a-z0-9-]{0,62}") from None
    return text


def _setting_name(name: str) -> str:
    if not _SETTING_NAME.fullmatch(name) or name in _TAKEN:
        raise ValueError("is no name for a setting; write another, of lower-case letters, digits and underscores")
    return name


Pattern: TypeAlias = Annotated[Text, AfterValidator(_pattern)]
"""A regular expression for the whole value, whether it says so with anchors or not."""
SettingName: TypeAlias = Annotated[str, AfterValidator(_setting_name)]


def check_gaps(names: Collection[str], settings: Collection[str] | None) -> None:
    """Each must be a setting; `settings` is None where that key is itself mistaken. Raises `ValueError`."""
    for name in sorted(names):
        if settings is not None and name not in settings:
            raise ValueError(f"has a gap {{{name}}}, which connection_settings lacks; write it there")


class ConnectionSetting(ConfigTable):
    """A value that is given with each connection, such as the name of the user's shop.

    The whole value must match `pattern`. `example` and `description` are for people. Where there is a `default`, the
    value may be left out.
    """

    pattern: Pattern
    description: Text
    example: Text
    default: Text | None = None

    @field_validator("example", "default")
    @classmethod
    def _matches(cls, value: str | None, info: ValidationInfo) -> str | None:
        pattern = info.data.get("pattern")
        if pattern is not None and value is not None and not re.fullmatch(pattern, value):
            raise ValueError("does not match the pattern beside it; mend one of the two")
        return value


class LookupConfig(ConfigTable):
    """One more question after the account's: which of the provider's places the token is good for.

    A GET of `endpoint` gives a list, in its answer at `list_path`. Of each entry the id and the name are kept, and the
    list becomes the member `metadata` of `connection_metadata`.
    """

    endpoint: str
    metadata: SettingName
    list_path: str = ""
    id_field: Text = "id"
    label_field: Text = "name"


class EndpointsConfig(ConfigTable):
    """The provider's addresses; each may have gaps like `{shop}` that `connection_settings` fill (security C0).

    `fixed_settings` are values that the operator has decided for everyone, so that nobody is asked for them.
    `refresh_endpoint` is where it is not the `token_endpoint`. `token_revocation_endpoint` is where one token alone is
    ended, at a provider whose `revocation_endpoint` ends all that the user gave the app. `token_check_endpoint` says to
    whoever posts there with an access token, whatever its scopes, whether it is good. `issuer`, where set, must be
    the `iss` of the authorization's answers (RFC 9207). `resources` are the origins of the APIs that the tokens are
    for; they have no gaps, since a token is never given out for one place when it is another's.
    """

    allow_private_hosts: tuple[Host, ...] = ()
    connection_settings: dict[SettingName, ConnectionSetting] = Field(default_factory=dict)
    fixed_settings: dict[str, str] = Field(default_factory=dict)
    authorization_endpoint: str
    token_endpoint: str
    refresh_endpoint: str | None = None
    revocation_endpoint: str | None = None
    token_revocation_endpoint: str | None = None
    narrowing_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    token_check_endpoint: str | None = None
    lookup: LookupConfig | None = None
    issuer: WebUrl | None = None
    resources: tuple[WebUrl, ...] = ()

    @field_validator("fixed_settings")
    @classmethod
    def _are_settings(cls, values: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        settings: dict[str, ConnectionSetting] | None = info.data.get("connection_settings")
        if settings is None:
            return values
        for name, value in values.items():
            if name not in settings:
                raise ValueError(f"has {name}, which is none of connection_settings; leave it out")
            if not re.fullmatch(settings[name].pattern, value):
                example = settings[name].example
                raise ValueError(f"has a {name} that does not match its pattern; write one like {example}")
        return values

    @field_validator(*ADDRESSES, "lookup")
    @classmethod
    def _callable(cls, given: str | LookupConfig | None, info: ValidationInfo) -> str | LookupConfig | None:
        url = given.endpoint if isinstance(given, LookupConfig) else given
        if url is not None:
            settings = info.data.get("connection_settings")
            known = {CLIENT_ID} if info.field_name in _OF_THE_APP else set()
            check_gaps(gaps(url) - known, settings)
            check_endpoint(check_template(url), info.data.get("allow_private_hosts"))
        return given

    @field_validator("lookup")
    @classmethod
    def _beside_the_settings(cls, lookup: LookupConfig | None, info: ValidationInfo) -> LookupConfig | None:
        if lookup is not None and lookup.metadata in info.data.get("connection_settings", {}):
            raise ValueError("has a metadata that is one of connection_settings; write another name")
        return lookup

    @field_validator("resources")
    @classmethod
    def _without_gaps(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if any("{" in url for url in urls):
            raise ValueError("has an address with a gap; leave it out: such a provider is asked for by its name")
        return urls
