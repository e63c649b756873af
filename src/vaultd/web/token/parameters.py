"""From the bytes of a token request to its parameters, strictly (security A1)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from vaultd.errors import InvalidRequest, InvalidScope
from vaultd.sizes import LONGEST_HINT, LONGEST_REQUEST, LONGEST_SCOPE, LONGEST_TOKEN, MOST_SCOPES
from vaultd.terms import Scopes, Secret

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MAX_PARAMETERS = 100
_MAY_REPEAT = frozenset({"audience", "resource"})
# Control characters are in no value of ours; an unpaired surrogate is legal in JSON and in no text that is stored.
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

Parameters = dict[str, tuple[str, ...]]
"""Each name with its values; an empty optional parameter counts as absent and has none."""


def read_parameters(body: bytes, content_types: list[str]) -> Parameters:
    """The parameters of a form or a flat JSON object. Raises `InvalidRequest`."""
    media_type = content_types[0].partition(";")[0].strip().lower() if len(content_types) == 1 else ""
    if media_type == FORM:
        return _collect(_form(body))
    if media_type == JSON:
        return _collect(_json(body))
    raise InvalidRequest("Send application/x-www-form-urlencoded.")


def one(params: Parameters, name: str, *, required: bool = False) -> str | None:
    """The value of a parameter that does not repeat. Raises `InvalidRequest` when it is required and missing."""
    values = params.get(name, ())
    if values and values[0]:
        return values[0]
    if required:
        raise InvalidRequest(f"{name} is missing.")
    return None


def flat(params: Parameters) -> dict[str, str]:
    """The first value of each parameter that has one."""
    return {name: values[0] for name, values in params.items() if values}


def scope(params: Parameters) -> Scopes | None:
    """The `scope` parameter, None when it is absent.

    Raises:
        InvalidScope: `scope_too_long`: no client may have as much, and a refusal's event would repeat it.
    """
    text = one(params, "scope")
    if text is None:
        return None
    scopes = Scopes.parse(text[:LONGEST_REQUEST])
    if len(text) > LONGEST_REQUEST or len(scopes) > MOST_SCOPES or any(len(each) > LONGEST_SCOPE for each in scopes):
        raise InvalidScope("The scope parameter is too long.", reason="scope_too_long")
    return scopes


def hint(params: Parameters) -> str | None:
    """The `login_hint` parameter, None when it is absent. Raises `InvalidRequest`."""
    text = one(params, "login_hint")
    if text is not None and len(text) > LONGEST_HINT:
        raise InvalidRequest("login_hint is too long.")
    return text


def refused_token(params: Parameters) -> Secret | None:
    """The `refused_token` parameter, None when it is absent. Raises `InvalidRequest` where it is longer than any."""
    text = one(params, "refused_token")
    if text is None:
        return None
    if len(text) > LONGEST_TOKEN:
        raise InvalidRequest("refused_token is too long.")
    return Secret(text)


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise InvalidRequest("The body is not form-encoded.") from None


def _json(body: bytes) -> list[tuple[str, str]]:
    try:
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not JSON.") from None
    if not isinstance(document, _Members) or len(document) > MAX_PARAMETERS:
        raise InvalidRequest("The body is not a flat object of strings.")
    pairs: list[tuple[str, str]] = []
    for name, value in document:
        if not isinstance(value, str):
            raise InvalidRequest("The body is not a flat object of strings.")
        pairs.append((name, value))
    return pairs


class _Members(list[tuple[str, object]]):
    """A JSON object with every member it had, repeated ones too."""


def _collect(pairs: Iterable[tuple[str, str]]) -> Parameters:
    params: Parameters = {}
    for name, value in pairs:
        # What is printable is text, and that is quicker to see; what is not may be text all the same.
        if not (name.isprintable() and value.isprintable()) and (_NO_TEXT.search(name) or _NO_TEXT.search(value)):
            raise InvalidRequest("A parameter has characters in it that are no text.")
        if name not in params:
            params[name] = (value,) if value else ()
            continue
        if name not in _MAY_REPEAT:
            # RFC 6749 §3.2
            plain = name.isascii() and name.isidentifier()
            raise InvalidRequest(f"{name[:64]} came twice." if plain else "A parameter came twice.")
        if value:
            params[name] = (*params[name], value)
    return params
