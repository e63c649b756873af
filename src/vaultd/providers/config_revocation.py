"""How a `[providers.X]` table says that tokens are given back to its provider."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from vaultd.config_types import ConfigTable, Flag, Text
from vaultd.providers.config_requests import RequestFormat, TokenEndpointAuth

Revocation: TypeAlias = Literal["rfc7009", "github_grant", "slack", "stripe", "bearer_post", "delete_bearer", "none"]
RevocationEnds: TypeAlias = Literal["token", "grant", "installation"]

_BY_THE_APP = frozenset({"github_grant", "stripe"})


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


class RevocationConfig(ConfigTable):
    """`revocation` is how tokens are given back at `revocation_endpoint`, "rfc7009" being the standard's way.

    "github_grant" deletes the grant of `{client_id}` as GitHub has it, "slack" asks `auth.revoke`, "stripe" ends the
    app's connection with the account, "bearer_post" and "delete_bearer" send nothing but the token itself.
    `revocation_token` are the kinds that the provider takes, `revocation_params` are sent along. Where the standard's
    way is wanted otherwise than at the token endpoint, `revocation_auth_method` and `revocation_request_format` say so;
    without `revocation_hint`, the token's kind is not named.

    `revocation_ends` is what a revocation ends: "token" the tokens of this one consent; "grant" all that the user ever
    gave the app there, whichever of its tokens is given back; "installation" what several users share. Where the
    provider does not say, it is left out, and counts as the grant: nobody else's access is then ended by accident.
    `app_pattern` is the part of a `client_id` that names the app, where one app has several: they share its grants.
    """

    revocation: Revocation = "rfc7009"
    revocation_token: Literal["both", "access_token", "refresh_token"] = "both"  # noqa: S105 - names of kinds
    revocation_params: dict[Text, str] = Field(default_factory=dict)
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
        return method
