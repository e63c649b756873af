"""Where a `[providers.X]` table says that what we look for stands in its provider's answers.

A path is the names of members with dots between them, and whole numbers for places in a list: `accounts.0.base_uri`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from vaultd.config_types import ConfigTable, Flag, Seconds, Text
from vaultd.providers.config_endpoints import SettingName
from vaultd.providers.config_requests import Headers
from vaultd.providers.naming import IdFields, check_id_fields, parts_of, placed

AccountSource: TypeAlias = Literal["userinfo", "token", "id_token"]
Rotation: TypeAlias = Literal["always", "sometimes", "never"]
OAuthError: TypeAlias = Literal[
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_token",
    "redirect_uri_mismatch",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
]
_OF_THE_PROTOCOL = frozenset({"code", "error", "error_description", "error_uri", "iss", "state"})
"""What the authorization's answer has for vaultd itself, some of it secret (RFC 6749 §4.1.2, RFC 9207 §2)."""
BESIDE_TOKEN = {"instance_url": "instance_url", "api_domain": "api_domain"}
"""Sent beside the token by providers where each account's API has an address of its own."""

BEARER_TOO = ("BearerToken",)
"""Apigee's word, which fronts many companies' own servers."""
REFRESH_LIFE = ("refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in")
"""GitHub's, LinkedIn's and others' name for it, Keycloak's, and Intuit's."""


def check_beside_the_code(parameters: Iterable[str]) -> None:
    """Each must be a parameter of the provider's own. Raises `ValueError`."""
    taken = sorted(_OF_THE_PROTOCOL.intersection(parameters))
    if taken:
        raise ValueError(f"names {', '.join(taken)}, which is the answer's own; write a parameter that comes beside it")


class AnswersConfig(ConfigTable):
    """The token's answer, the account's, and errors.

    `token_path` leads to the object with the token; left out, it is the whole answer, or Slack's `authed_user` in it.
    `metadata_fields` are the members of `connection_metadata` and their paths in the token's answer,
    `userinfo_metadata` those in userinfo's, `callback_metadata` parameters of the authorization's answer.
    `account_id_field` and `account_label_fields` are paths in the answer that `account_source` names; with "token" they
    may name a connection setting. A path may also begin with the answer in which it leads, `userinfo:`, `token:`,
    `id_token:`, `redirect:` for what `callback_metadata` looks for, `setting:` for a connection setting, or `lookup:`
    for a place in the lookup's list, such as `lookup:0.id` where a grant is for one. Where an account is known by
    several values together, `account_id_field` is a list of paths, the place first and the person last; a list in it
    has paths of which the first that leads somewhere counts. An ID token must come from one of `id_token_issuers`, or
    from `issuer`.
    `token_types` are other words than "bearer" for a token that is sent as one, in whatever case, and
    `refresh_life_fields` the paths, from where the token stands, at which the first number is the seconds that the
    refresh token lives, 0 for one that does not end.
    `error_path` is where an error's word stands, and `error_codes` are the provider's words and OAuth's for them, or
    "redirect_uri_mismatch", for which OAuth has none.
    `declined_errors` are those with which the browser comes back, beside `access_denied`, when a person said no.
    """

    token_path: str | None = None
    token_types: tuple[Text, ...] = BEARER_TOO
    refresh_life_fields: tuple[Text, ...] = REFRESH_LIFE
    metadata_fields: dict[SettingName, Text] = Field(default_factory=BESIDE_TOKEN.copy)
    userinfo_metadata: dict[SettingName, Text] = Field(default_factory=dict)
    callback_metadata: dict[SettingName, Text] = Field(default_factory=dict)
    account_source: AccountSource = "userinfo"
    account_id_field: Annotated[IdFields, BeforeValidator(check_id_fields)] = "sub"
    account_label_fields: tuple[Text, ...] = ("email", "preferred_username", "login", "name")
    id_token_issuers: tuple[Text, ...] = ()
    userinfo_method: Literal["GET", "POST"] = "GET"
    userinfo_headers: Headers = Field(default_factory=dict)
    userinfo_body: str | None = None
    userinfo_token_scheme: Annotated[str, Field(pattern=r"^[A-Za-z]{1,20}$")] = "Bearer"  # noqa: S105 - a scheme
    error_path: Text = "error"
    error_codes: dict[Text, OAuthError] = Field(default_factory=dict)
    declined_errors: tuple[Text, ...] = ()

    @field_validator("callback_metadata")
    @classmethod
    def _not_of_the_protocol(cls, parameters: dict[str, str]) -> dict[str, str]:
        check_beside_the_code(parameters.values())
        return parameters

    @field_validator("account_id_field")
    @classmethod
    def _brought_along(cls, fields: IdFields, info: ValidationInfo) -> IdFields:
        # What comes beside the code is looked for, checked and kept as metadata, or not at all.
        named = {placed(path, "") for part in parts_of(fields) for path in part}
        places = {
            "redirect": ("callback_metadata", set(info.data.get("callback_metadata", {}).values())),
            "setting": ("connection_settings", set(info.data.get("connection_settings", {}))),
        }
        for where, (key, known) in places.items():
            missing = sorted({path for source, path in named if source == where} - known)
            if missing and key in info.data:
                raise ValueError(f"names {where}:{missing[0]}, which {key} lacks; write it there too")
        if any(source == "lookup" for source, _ in named) and info.data.get("lookup", True) is None:
            raise ValueError("names a place of the lookup, and there is no lookup; write one")
        return fields

    @field_validator("userinfo_body")
    @classmethod
    def _a_json_post(cls, body: str | None, info: ValidationInfo) -> str | None:
        if body is None:
            return None
        if info.data.get("userinfo_method") == "GET":
            raise ValueError('stands beside userinfo_method = "GET"; write userinfo_method = "POST"')
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            raise ValueError("is not JSON; write it as one JSON text") from None
        return body


class LifeConfig(ConfigTable):
    """How long tokens live, and what becomes of a refresh token when it is used.

    `expires` says whether access tokens end. With `true`, one that came without a life is taken to live `assumed_ttl`
    seconds if it can be renewed, and not to end if it cannot; otherwise one that came without a life is taken not to
    end, unless an earlier answer named one. A life that an answer names always counts; 0 or less names none.
    `assumed_ttl` is also what an exchange answers for a token without an end. `refresh_margin` is how many seconds
    before its end a stored token counts as stale.
    `rotation_grace` is for how many seconds a replaced refresh token is still good, 0 if that is not known.
    `refresh_token_idle_limit` and `refresh_token_lifetime` are in seconds too, 0 where there is none.
    """

    expires: Flag | None = None
    assumed_ttl: Annotated[Seconds, Field(gt=0)] = 3600
    refresh_margin: Seconds = 60
    rotation: Rotation | None = None
    rotation_grace: Seconds = 0
    refresh_token_idle_limit: Seconds = 0
    refresh_token_lifetime: Seconds = 0

    @field_validator("refresh_margin")
    @classmethod
    def _within_the_life(cls, margin: int, info: ValidationInfo) -> int:
        if margin >= info.data.get("assumed_ttl", margin + 1):
            raise ValueError("is not below assumed_ttl, so that every token were stale; write fewer seconds")
        return margin
