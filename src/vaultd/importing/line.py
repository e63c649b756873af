"""One line of the file: read, checked, and made into what is stored. Pure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from vaultd.connections.imported import LONG_OVER, NO_ACCESS_TOKEN, Imported
from vaultd.connections.sealing import UNNAMED_ACCOUNT
from vaultd.errors import InvalidTarget
from vaultd.importing import fields
from vaultd.importing.place import Place, read_place
from vaultd.providers.naming import parts_of, split_id
from vaultd.providers.recognising import account_in, may_be
from vaultd.providers.registry import Provider, Providers
from vaultd.terms import Scopes, Secret, Subject

KEYS = (
    "issuer",
    "sub",
    "provider",
    "refresh_token",
    "access_token",
    "expires_at",
    "scopes",
    "account",
    "settings",
    "metadata",
)
REQUIRED = ("issuer", "sub", "provider", "scopes")
MOST_TOLD = 20
"""Mistakes of one line that are told one by one; a file may have a million lines."""
_A_WORD = re.compile(r"[A-Za-z_]{1,32}")
_NOT_ESCAPED = re.compile(r"%(?!25|3A)")
"""In an id of several parts."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a line, and what to do. Never holds a value of the file."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is right as far as it can be told by itself."""

    number: int
    subject: Subject
    imported: Imported


class LineRefused(Exception):
    """Everything that is wrong with a line."""

    def __init__(self, texts: Iterable[str]) -> None:
        found = tuple(texts)
        more = len(found) - MOST_TOLD
        self.texts = found if more <= 0 else (*found[:MOST_TOLD], f"has {more} more mistakes")
        super().__init__("; ".join(self.texts))


class LineReader:
    """Knows the configured issuers, by URL and by their table's name, and the providers."""

    def __init__(self, *, issuers: Mapping[str, str], providers: Providers) -> None:
        self._issuers = {**issuers, **{url: url for url in issuers.values()}}
        self._issuer_names = tuple(issuers)
        self._providers = providers

    def read(self, raw: bytes, *, number: int, now: datetime) -> Line:
        """One line without its end. Raises `LineRefused`."""
        members = _members(raw)
        mistakes = [text for key in members if key not in KEYS for text in (_unknown(key),)]
        mistakes += [f"{key} is missing; every line has it" for key in REQUIRED if members.get(key) is None]
        checked = _Checked(members, mistakes)
        issuer = checked.take("issuer", self._issuer)
        sub = checked.take("sub", fields.name)
        provider = checked.take("provider", self._provider)
        scopes = checked.take("scopes", fields.scopes)
        refresh_token = checked.take("refresh_token", fields.token)
        access_token = checked.take("access_token", fields.token)
        expires_at = checked.take("expires_at", lambda value: fields.moment(value, now))
        account = checked.take("account", fields.account) or (None, None)
        mistakes += _together(members, access_token, refresh_token, expires_at, now)
        place = Place()
        if provider is not None:
            place, wrong = read_place(provider, members.get("settings"), members.get("metadata"))
            mistakes += wrong or _of_the_account(provider, account[0], place)
        if mistakes or issuer is None or sub is None or provider is None or scopes is None:
            raise LineRefused(mistakes)
        imported = _imported(
            provider,
            scopes,
            access_token=access_token,
            refresh_token=refresh_token,
            expires_at=expires_at,
            account=account,
            place=place,
        )
        return Line(number, Subject(issuer, sub), imported)

    def _issuer(self, value: object) -> str:
        url = self._issuers.get(value) if isinstance(value, str) else None
        if url is None:
            raise ValueError(f"is no configured issuer's URL or name; {_one_of(self._issuer_names)}")
        return url

    def _provider(self, value: object) -> Provider:
        try:
            return self._providers.get(value if isinstance(value, str) else "")
        except InvalidTarget:
            names = [provider.name for provider in self._providers.all()]
            raise ValueError(f"is no configured provider; {_one_of(names)}") from None


class _Checked:
    """The members of a line, each checked once; what is wrong goes to the list."""

    def __init__(self, members: Mapping[str, Any], mistakes: list[str]) -> None:
        self._members = members
        self._mistakes = mistakes

    def take(self, key: str, check: Callable[[object], _T]) -> _T | None:
        value = self._members.get(key)
        if value is None:
            return None
        try:
            return check(value)
        except ValueError as error:
            self._mistakes.append(f"{key} {error}")
            return None


def _members(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise LineRefused(["is not UTF-8; save the file as UTF-8"]) from None
    try:
        value = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)
    except _Twice as twice:
        raise LineRefused([str(twice)]) from None
    except (ValueError, RecursionError):
        raise LineRefused(["is not JSON; write one object on one line"]) from None
    if isinstance(value, list):
        raise LineRefused(["is a list; write one object a line, without brackets around (jq -c '.[]' does it)"])
    if not isinstance(value, dict):
        raise LineRefused(["is no object; write one like {…} on one line"])
    return value


class _Twice(Exception):
    """A key that stands twice in one object: which of its values counts differs from reader to reader."""


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Twice("has a key twice; write each key once")
    return members


def _no_constant(_: str) -> None:
    raise ValueError("RFC 8259 §6 has no NaN and no Infinity")


def _unknown(key: str) -> str:
    # A name is shown if it is a word; anything else may be a token that stands in the wrong place.
    shown = f'the key "{key}"' if _A_WORD.fullmatch(key) else "a key"
    close = difflib.get_close_matches(key[:64].lower(), KEYS, n=1, cutoff=0.7)
    return f"{shown} is not known; " + (f'did you mean "{close[0]}"?' if close else f"there are {', '.join(KEYS)}")


def _together(
    members: Mapping[str, Any],
    access_token: Secret | None,
    refresh_token: Secret | None,
    expires_at: datetime | None,
    now: datetime,
) -> list[str]:
    """What the tokens and the end of one say of each other."""
    if members.get("access_token") is None and members.get("refresh_token") is None:
        return ["has neither refresh_token nor access_token; write the refresh token, or leave the line out"]
    if access_token is not None and access_token == refresh_token:
        return ["access_token and refresh_token are the same; look whether one was exported twice"]
    if members.get("refresh_token") is None and expires_at is not None:
        ended = "has ended" if expires_at <= now else "will end"
        remedy = "write the refresh token, or leave the line out and have the user connect again"
        return [f"refresh_token is missing, and the access token {ended}; {remedy}"]
    return []


def _imported(
    provider: Provider,
    scopes: Scopes,
    *,
    access_token: Secret | None,
    refresh_token: Secret | None,
    expires_at: datetime | None,
    account: tuple[str | None, str | None],
    place: Place,
) -> Imported:
    account_id, label = account
    # A token that can be renewed and whose end nobody knows is renewed before its first use.
    over = refresh_token is not None and (access_token is None or expires_at is None)
    # There would not be a refresh token without these, and few answers name them, so that few tables have them.
    renewal = provider.config.renewal_scopes if scopes and refresh_token is not None else ()
    return Imported(
        provider=provider.name,
        single=provider.config.accounts == "single",
        access_token=access_token or NO_ACCESS_TOKEN,
        refresh_token=refresh_token,
        expires_at=LONG_OVER if over else expires_at,
        scopes=Scopes({*scopes, *renewal}),
        account_id=account_id if account_id is not None else _unsaid_account(provider, place),
        account_label=label or account_id or "",
        settings=place.settings,
        metadata=place.metadata,
    )


def _of_the_account(provider: Provider, account_id: str | None, place: Place) -> list[str]:
    """What the account's id says against what consent would give it."""
    if account_id is None:
        return []
    if not provider.config.names_accounts:
        return ["account has an id, and this provider tells none at consent; write a label alone"]
    parts = parts_of(provider.config.account_id_field)
    decided = _decided_account(provider, place)
    if decided is not None:
        what = " and ".join(" or ".join(part) for part in parts)
        where = "settings or metadata" if place.from_line else "fixed_settings"
        return [] if account_id == decided else [f"account has an id, which {what} in {where} decides; leave it out"]
    given = split_id(account_id)
    if len(parts) > 1 and (len(given) != len(parts) or not all(given) or _NOT_ESCAPED.search(account_id)):
        wanted = ":".join(" or ".join(part) for part in parts)
        how = "write all of its parts with colons between, and a colon or % within one as %3A or %25"
        return [f"account has an id that is not made of {wanted}; {how}"]
    if not may_be(provider.config, account_id, {**place.metadata, **place.settings}):
        return ["account has an id that is not of the place in settings or metadata; mend one of them"]
    return []


def _unsaid_account(provider: Provider, place: Place) -> str:
    """The id of an account that the line does not name."""
    # Where the provider names no account, consent stores the empty id.
    unknown = UNNAMED_ACCOUNT if provider.config.names_accounts else ""
    return _decided_account(provider, place) or unknown


def _decided_account(provider: Provider, place: Place) -> str | None:
    """The id where it stands in the settings or the metadata: no answer of the provider is needed to know it."""
    return account_in(provider.config, {**place.metadata, **place.settings})


def _one_of(names: Iterable[str]) -> str:
    known = ", ".join(sorted(names))
    return f"write one of {known}" if known else "there are none yet; write its table into the configuration first"
