"""The vault's requests and links. Pure: nothing here sends or waits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from urllib.parse import quote, urlencode

import httpx

from vaultd_client.credentials import ClientAuth, PrivateKeyJwt
from vaultd_client.places import vault_url
from vaultd_client.subjects import AwayUser, SessionToken, Subject

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_TYPES = "urn:ietf:params:oauth:token-type:"
_ASSERTED = "token-vault-req+jwt"
_ACCOUNTS = "/me/v1/connected-accounts/accounts"
_PAGE = 100
SubjectTokenType = Literal["access_token", "id_token", "jwt", "refresh_token"]
"""What the app's session tokens are (RFC 8693 §3)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A token that is asked for; `key` is the name under which it is kept.

    `refused` is one that came for it before, which the provider did not take.
    """

    connection: str
    subject: Subject
    scope: str
    login_hint: str | None
    key: bytes
    refused: str | None = field(default=None, repr=False)

    @property
    def flight(self) -> bytes:
        """Who asks with this in common waits for one answer: with a refused token it is another request."""
        return self.key if self.refused is None else hashlib.sha256(self.key + self.refused.encode()).digest()


class Requests:
    """Builds what one client sends to one vault."""

    def __init__(self, url: str, *, auth: ClientAuth, subject_token_type: SubjectTokenType) -> None:
        self.url = vault_url(url)
        self._auth = auth
        self._subject_token_type = subject_token_type

    def check(self, subject: Subject) -> None:
        """Raise `TypeError` for a user who is away, unless the client can sign."""
        if isinstance(subject, AwayUser):
            self._signing()

    def exchange(self, wish: Wish, *, now: datetime) -> httpx.Request:
        """The exchange of RFC 8693 §2.1."""
        token, kind = self._subject(wish.subject, now)
        form = {
            "grant_type": _EXCHANGE,
            "subject_token": token,
            "subject_token_type": _TYPES + kind,
            "requested_token_type": _TYPES + "access_token",
            "audience": wish.connection,
        }
        if wish.scope:
            form["scope"] = wish.scope
        if wish.login_hint:
            form["login_hint"] = wish.login_hint
        if wish.refused:
            # The vault renews it before its end if it would give that very token now.
            form["refused_token"] = wish.refused
        headers = {"Accept": "application/json"}
        self._auth.put_on(form, headers, vault=self.url, now=now)
        return httpx.Request("POST", f"{self.url}/oauth/token", headers=headers, data=form)

    def accounts(self, user: SessionToken, *, etag: str | None = None, skip: str | None = None) -> httpx.Request:
        """A page of the user's accounts, by the user's own token; with an `etag`, only if it has changed."""
        headers = {"Accept": "application/json", "Authorization": f"Bearer {user.value}"}
        if etag is not None:
            headers["If-None-Match"] = etag
        params = {"take": str(_PAGE)} | ({"from": skip} if skip else {})
        return httpx.Request("GET", self.url + _ACCOUNTS, headers=headers, params=params)

    def connect_url(
        self, connection: str, *, return_to: str | None, scopes: Iterable[str] | None, login_hint: str | None
    ) -> str:
        """The vault's door for the user's browser."""
        parameters = {
            "client_id": self._auth.client_id,
            "return_to": return_to,
            "scope": scope_of(scopes),
            "login_hint": login_hint,
        }
        query = urlencode({name: value for name, value in parameters.items() if value})
        return f"{self.url}/auth/connect/{quote(connection, safe='')}" + (f"?{query}" if query else "")

    def _subject(self, subject: Subject, now: datetime) -> tuple[str, str]:
        if isinstance(subject, SessionToken):
            return subject.value, self._subject_token_type
        return self._signing().signed(_ASSERTED, subject.claims(), vault=self.url, now=now), "jwt"

    def _signing(self) -> PrivateKeyJwt:
        if not isinstance(self._auth, PrivateKeyJwt):
            raise TypeError("Only a client with PrivateKeyJwt can ask for a user who is away.")
        return self._auth


def scope_of(scopes: Iterable[str] | None) -> str:
    """The scope parameter, sorted, so that equal sets are kept as one."""
    if isinstance(scopes, str):
        raise TypeError("scopes is a list of scopes, not one text")
    return " ".join(sorted(set(scopes or ())))
