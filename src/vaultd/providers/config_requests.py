"""How a `[providers.X]` table says that its provider wants to be asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, TypeAlias, TypeVar, get_args

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from vaultd.config_types import ConfigTable, Flag, PlainSecret, ScopeNames, Text
from vaultd.terms import Secret

Value = TypeVar("Value")
TokenEndpointAuth: TypeAlias = Literal[
    "client_secret_basic", "client_secret_basic_raw", "client_secret_post", "json", "none"
]
RAW_BASIC: Literal["client_secret_basic_raw"] = "client_secret_basic_raw"
RequestFormat: TypeAlias = Literal["form", "json"]
Renamed: TypeAlias = Literal[
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_verifier",
    "redirect_uri",
    "refresh_token",
    "scope",
    "token",
    "token_type_hint",
]
"""What may have another name at a provider. Not `state`: by it the answer is found."""

OWN_PARAMS = frozenset(
    {
        "client_id",
        "client_secret",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    }
)
"""Parameters of the authorization request that vaultd sets itself, or that would replace all of them (RFC 9101)."""
_OWN_TOKEN_PARAMS = frozenset(
    {"client_id", "client_secret", "code", "code_verifier", "grant_type", "redirect_uri", "refresh_token", "token"}
)
_OWN_HEADERS = frozenset({"authorization", "connection", "content-length", "content-type", "cookie", "host"})
_VISIBLE = re.compile(r"[\x20-\x7e]*")  # RFC 6749 §A.1 and §A.2
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 §5.1


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("is no name of a header; write one like Notion-Version")
    if name.lower() in _OWN_HEADERS:
        raise ValueError("is a header that vaultd sets itself; leave it out")
    return name


HeaderName: TypeAlias = Annotated[str, AfterValidator(_header_name)]
Headers: TypeAlias = dict[HeaderName, Text]


def each_its_own(names: dict[Renamed, str]) -> dict[Renamed, str]:
    """New names of parameters, no two alike. Raises `ValueError`."""
    given = {str(ours): theirs for ours, theirs in names.items()}
    written = [given.get(name, name) for name in (*get_args(Renamed), *OWN_PARAMS - set(get_args(Renamed)))]
    if len(set(written)) < len(written):
        raise ValueError("gives two parameters one name; write another for one of them")
    return names


class RequestsConfig(ConfigTable):
    """The authorization request and the token requests.

    With `client_secret_basic` id and secret are form-encoded before they become user and password (RFC 6749 §2.3.1);
    "client_secret_basic_raw" leaves that out, for servers that take them as they come (RFC 7617 alone).
    `token_request_format` is that of a token request's body; the authentication method "json" is
    `client_secret_post` in a JSON body. `token_params` go with a code, `refresh_params` with a refresh token, and
    `parameter_names` are the provider's own names for what OAuth calls otherwise. With `scope_with_code`, the scopes
    that were asked for go with the code as well; with `refresh_sends_scopes`, the granted ones go with a
    refresh, and `refresh_adds_scopes` with them, which the provider grants without saying so.
    """

    token_endpoint_auth_method: TokenEndpointAuth = "client_secret_basic"  # noqa: S105 - a method's name
    client_id: Text
    client_secret: PlainSecret | None = None
    token_request_format: RequestFormat = "form"  # noqa: S105 - a format's name
    token_headers: Headers = Field(default_factory=dict)
    parameter_names: Annotated[dict[Renamed, Text], AfterValidator(each_its_own)] = Field(default_factory=dict)
    token_params: dict[Text, str] = Field(default_factory=dict)
    refresh_params: dict[Text, str] = Field(default_factory=dict)
    scope_with_code: Flag = False
    refresh_sends_scopes: Flag = False
    refresh_adds_scopes: ScopeNames = ()
    scope_separator: Annotated[str, Field(min_length=1, max_length=1)] = " "
    pkce: Flag = True
    authorization_params: dict[Text, str] = Field(default_factory=dict)
    allowed_authorization_params: tuple[Text, ...] = ("prompt", "login_hint")

    def named(self, params: Mapping[str, Value], own_names: Mapping[Renamed, str] | None = None) -> dict[str, Value]:
        """Parameters by the names that they have at this provider, or by `own_names` of one kind of request."""
        chosen = self.parameter_names if own_names is None else own_names
        names = {str(ours): theirs for ours, theirs in chosen.items()}
        return {names.get(name, name): value for name, value in params.items()}

    @field_validator("client_secret")
    @classmethod
    def _fits_the_method(cls, secret: Secret | None, info: ValidationInfo) -> Secret | None:
        method = info.data.get("token_endpoint_auth_method")
        if secret is None and method not in {"none", None}:
            raise ValueError('is missing; write env:NAME or file:path, or token_endpoint_auth_method = "none"')
        if secret is not None and method == "none":
            raise ValueError('stands beside token_endpoint_auth_method = "none"; write one of the two')
        if secret is not None and method == RAW_BASIC:
            check_raw(info.data.get("client_id", ""), secret)
        return secret

    @field_validator("token_params", "refresh_params")
    @classmethod
    def _not_of_the_token_request(cls, params: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        names = info.data.get("parameter_names", {})
        check_free(params, _OWN_TOKEN_PARAMS | {theirs for ours, theirs in names.items() if ours in _OWN_TOKEN_PARAMS})
        return params

    @field_validator("authorization_params", "allowed_authorization_params")
    @classmethod
    def _not_ours(
        cls, names: dict[str, str] | tuple[str, ...], info: ValidationInfo
    ) -> dict[str, str] | tuple[str, ...]:
        check_free(names, OWN_PARAMS | set(info.data.get("parameter_names", {}).values()))
        return names


def check_raw(client_id: str, secret: Secret) -> None:
    """Whether both may stand in a Basic header as they are. Raises `ValueError`, which repeats neither.

    RFC 7617 §2 has no user with a colon in it, and no control characters; for anything beyond ASCII it leaves open how
    it is written. RFC 6749 appendix A has neither in ids and secrets, so no provider gives such ones.
    """
    if ":" in client_id:
        raise ValueError(f"cannot be sent by {RAW_BASIC} beside a client_id with a colon (RFC 7617); write another")
    if not all(_VISIBLE.fullmatch(value) for value in (client_id, secret.reveal())):
        raise ValueError(
            f"or client_id has a character that is not visible ASCII, which {RAW_BASIC} cannot send; write"
            " client_secret_basic or client_secret_post"
        )


def check_free(names: Iterable[str], ours: frozenset[str]) -> None:
    """None of these may be one that vaultd sets itself. Raises `ValueError`."""
    taken = sorted(ours.intersection(names))
    if taken:
        raise ValueError(f"names {', '.join(taken)}, which vaultd sets itself; leave that out")
