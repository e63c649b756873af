"""How a `[providers.X]` table says that tokens are given back to its provider."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from vaultd.config_types import ConfigTable, Flag, Text
from vaultd.providers.config_requests import (
    RAW_BASIC,
    HeaderName,
    Headers,
    Renamed,
    RequestFormat,
    TokenEndpointAuth,
    Value,
    check_free,
    check_raw,
    each_its_own,
)

Revocation: TypeAlias = Literal["rfc7009", "github_grant", "slack", "stripe", "bearer_post", "delete_bearer", "none"]
RevocationEnds: TypeAlias = Literal["token", "grant", "installation"]

_BY_THE_APP = frozenset({"github_grant", "stripe"})
_OWN_PARAMS = frozenset({"client_id", "client_secret", "token"})
_BY_THE_TOKEN = frozenset({"bearer_post", "delete_bearer"})


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if re.fullmatch(text, ""):
        # Apps of which nothing is left are one and the same.
        raise ValueError("fits a client_id of which it takes nothing; write one that takes a part of it")
    return text


class RevocationConfig(ConfigTable):
    """`revocation` is how tokens are given back at `revocation_endpoint`, "rfc7009" being the standard's way.

    "github_grant" deletes the grant of `{client_id}` as GitHub has it, "slack" asks `auth.revoke`, "stripe" ends the
    app's connection with the account, "bearer_post" and "delete_bearer" send nothing but the token itself: after
    "Bearer", or alone in the header that `revocation_token_header` names.
    `revocation_token` are the kinds that the provider takes; `revocation_params` and `revocation_headers` are sent
    along. Where the standard's way is wanted otherwise than at the token endpoint, `revocation_method`,
    `revocation_auth_method`, `revocation_request_format` and `revocation_parameter_names` say so, the last instead of
    `parameter_names`; without `revocation_hint`, the token's kind is not named. A format that is named is kept to where
    there are no parameters too, so that "json" alone sends `{}`.

    `revocation_ends` is what a revocation ends: "token" the tokens of this one consent; "grant" all that the user ever
    gave the app there, whichever of its tokens is given back; "installation" what several users share. Where the
    provider does not say, it is left out, and counts as the grant: nobody else's access is then ended by accident.
    `app_pattern` is the part of a `client_id` that names the app, where one app has several: they share its grants.
    """

    revocation: Revocation = "rfc7009"
    revocation_token: Literal["both", "access_token", "refresh_token"] = "both"  # noqa: S105 - names of kinds
    revocation_parameter_names: Annotated[dict[Renamed, Text], AfterValidator(each_its_own)] | None = None
    revocation_params: dict[Text, str] = Field(default_factory=dict)
    revocation_headers: Headers = Field(default_factory=dict)
    revocation_method: Literal["POST", "DELETE"] = "POST"
    revocation_token_header: HeaderName | None = None
    revocation_auth_method: TokenEndpointAuth | None = None
    revocation_request_format: RequestFormat | None = None
    revocation_hint: Flag = True
    revocation_ends: RevocationEnds | None = None
    app_pattern: Annotated[Text, AfterValidator(_pattern)] | None = None

    @field_validator("revocation")
    @classmethod
    def _has_its_endpoint(cls, style: str, info: ValidationInfo) -> str:
        endpoint = info.data.get("revocation_endpoint", "")
        if endpoint is None and style not in {"rfc7009", "none"}:
            raise ValueError("has no revocation_endpoint beside it; write one")
        if endpoint and style == "none":
            raise ValueError("stands beside a revocation_endpoint; write one of the two")
        if style in _BY_THE_APP and info.data.get("client_secret", style) is None:
            raise ValueError("needs a client_secret, by which the app proves itself; write one")
        return style

    @field_validator("revocation_method", "revocation_parameter_names")
    @classmethod
    def _of_the_standard_way(cls, given: Value, info: ValidationInfo) -> Value:
        if given is not None and given != "POST":
            _check_beside(info, frozenset({"rfc7009"}))
        return given

    @field_validator("revocation_params")
    @classmethod
    def _not_of_the_revocation(cls, params: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        own = info.data.get("revocation_parameter_names")
        names = info.data.get("parameter_names", {}) if own is None else own
        check_free(params, _OWN_PARAMS | {theirs for ours, theirs in names.items() if ours in _OWN_PARAMS})
        return params

    @field_validator("revocation_token_header")
    @classmethod
    def _of_the_token_s_way(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None:
            _check_beside(info, _BY_THE_TOKEN)
        return name

    @field_validator("revocation_ends")
    @classmethod
    def _of_a_revocation(cls, ends: str | None, info: ValidationInfo) -> str | None:
        if ends == "token" and info.data.get("token_revocation_endpoint") is not None:
            raise ValueError('is "token" beside a token_revocation_endpoint; leave one of the two out')
        return ends

    @field_validator("revocation_auth_method")
    @classmethod
    def _has_its_secret(cls, method: str | None, info: ValidationInfo) -> str | None:
        if method not in {None, "none"} and info.data.get("client_secret", method) is None:
            raise ValueError("needs a client_secret, by which the app proves itself; write one")
        secret = info.data.get("client_secret")
        if method == RAW_BASIC and secret is not None:
            try:
                check_raw(info.data.get("client_id", ""), secret)
            except ValueError as error:
                raise ValueError(f"does not fit: client_secret {error}") from None
        return method


def _check_beside(info: ValidationInfo, ways: frozenset[str]) -> None:
    """Raises `ValueError`: the way of revoking is another one, at which this would be without effect."""
    way = info.data.get("revocation")
    if way is not None and way not in ways:
        raise ValueError(f'has no effect beside revocation = "{way}"; leave it out')
