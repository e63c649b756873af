"""What a sandbox provider remembers: grants, each a family of tokens that stands and falls together."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vaultd.sandbox.oauth import CODE_TTL, AuthorizationRequest, OAuthRefused, check_verifier
from vaultd.sandbox.people import Person
from vaultd.terms import Clock, Scopes

TokenSource = Callable[[], str]
"""Gives unguessable text for a token."""


Witness = Callable[[str], None]
"""Sees every token at the moment it is made, to look for it later where it must not be."""


def nobody(_: str) -> None:
    """The witness that sees nothing."""


def random_token() -> str:
    """256 bits from the system."""
    return secrets.token_urlsafe(32)


@dataclass(slots=True)
class Family:
    """One consent of one person for one client, and all tokens that ever came of it."""

    client_id: str
    person: Person
    scopes: Scopes
    alive: bool = True
    reuse_detected: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """What an access token stands for."""

    family: Family
    scopes: Scopes
    expires_at: datetime


@dataclass(slots=True)
class Refresh:
    """A refresh token; `used_at` is when it was rotated away."""

    family: Family
    used_at: datetime | None = None


@dataclass(slots=True)
class Code:
    """An authorization code, and the family that it opened once it was redeemed; `renewable` brings a refresh token."""

    request: AuthorizationRequest
    person: Person
    scopes: Scopes
    expires_at: datetime
    renewable: bool
    family: Family | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """Tokens as the token endpoint answers them; without `refresh_token` the old one stays good."""

    access_token: str
    refresh_token: str | None
    scopes: Scopes


class Grants:
    """All codes, tokens and families of one provider, in memory.

    `ttl` is the access tokens' life. `reuse_grace` is how long a rotated refresh token is still taken without alarm;
    with `rotate` off a refresh token never changes.
    """

    def __init__(
        self,
        *,
        name: str,
        clock: Clock,
        token: TokenSource,
        ttl: timedelta,
        rotate: bool,
        reuse_grace: timedelta,
        witness: Witness = nobody,
    ) -> None:
        self.ttl = ttl
        self.rotate = rotate
        self.reuse_grace = reuse_grace
        self.offline = True
        """Whether new grants come with a refresh token."""
        self.families: list[Family] = []
        self._name = name
        self._clock = clock
        self._token = token
        self._witness = witness
        self._codes: dict[str, Code] = {}
        self._access: dict[str, Access] = {}
        self._refresh: dict[str, Refresh] = {}

    def holds(self, client_id: str, person: Person) -> bool:
        """Whether this person has a grant for this client now."""
        return any(each.alive and (each.client_id, each.person) == (client_id, person) for each in self.families)

    def open_code(
        self, request: AuthorizationRequest, person: Person, scopes: Scopes, *, renewable: bool = True
    ) -> str:
        """A code for a consent just given."""
        code = self._token()
        expires_at = self._clock() + timedelta(seconds=CODE_TTL)
        self._codes[code] = Code(
            request=request, person=person, scopes=scopes, expires_at=expires_at, renewable=renewable
        )
        return code

    def open_family(self, client_id: str, person: Person, scopes: Scopes, *, renewable: bool = True) -> Issued:
        """A new grant with its first tokens."""
        family = Family(client_id=client_id, person=person, scopes=scopes)
        self.families.append(family)
        return self._issue(family, scopes, with_refresh=self.offline and renewable)

    def redeem(self, client_id: str, *, code: str, redirect_uri: str | None, verifier: str | None) -> Issued:
        """Turn a code into tokens. Raises `OAuthRefused`; a code used twice costs its tokens (RFC 6749 §4.1.2)."""
        found = self._codes.get(code)
        if found is None or found.request.client_id != client_id:
            raise OAuthRefused("invalid_grant", "The code is not known.", about="code")
        if found.family is not None:
            found.family.alive = False
            raise OAuthRefused("invalid_grant", "The code was used before.", about="code")
        if found.expires_at <= self._clock():
            raise OAuthRefused("invalid_grant", "The code has expired.", about="code")
        if found.request.redirect_uri != redirect_uri:
            why = "The redirect URI is not the one that was asked with."
            raise OAuthRefused("invalid_grant", why, about="redirect_uri")
        check_verifier(found.request.challenge, verifier)
        issued = self.open_family(client_id, found.person, found.scopes, renewable=found.renewable)
        found.family = self.families[-1]
        return issued

    def refresh(self, client_id: str, *, refresh_token: str, wanted: Scopes) -> Issued:
        """New tokens for a refresh token; `wanted`, if any, narrows the access token.

        Raises:
            OAuthRefused: `invalid_grant` for a dead token, whose family dies with it if it had been rotated away
                (RFC 9700 §4.14.2); `invalid_scope` for more than was granted.
        """
        found = self._refresh.get(refresh_token)
        if found is None or found.family.client_id != client_id or not found.family.alive:
            raise OAuthRefused("invalid_grant", "The refresh token is not valid.", about="refresh_token")
        now = self._clock()
        if found.used_at is not None and (not self.reuse_grace or now - found.used_at > self.reuse_grace):
            found.family.alive = False
            found.family.reuse_detected = True
            why = "The refresh token was used before. All tokens of this grant are void."
            raise OAuthRefused("invalid_grant", why, about="refresh_token")
        if not wanted <= found.family.scopes:
            raise OAuthRefused("invalid_scope", "More than was granted.")
        if self.rotate and found.used_at is None:
            found.used_at = now
        return self._issue(found.family, wanted or found.family.scopes, with_refresh=self.rotate)

    def revoke(self, client_id: str, token: str) -> None:
        """RFC 7009: a refresh token takes its whole family along. An unknown token is no error.

        Raises:
            OAuthRefused: the token is another client's.
        """
        if found := self._refresh.get(token):
            self._check_owner(client_id, found.family)
            found.family.alive = False
        elif access := self._access.get(token):
            self._check_owner(client_id, access.family)
            del self._access[token]

    def access(self, token: str) -> Access | None:
        """What a bearer token stands for, None if it is not good now."""
        found = self._access.get(token)
        return found if found and found.family.alive and found.expires_at > self._clock() else None

    def withdraw(self, login: str) -> None:
        """A person removes every app in their settings: all their grants are void."""
        for family in self.families:
            family.alive = family.alive and family.person.login != login

    def end_access_tokens(self) -> None:
        """Every access token is worth nothing from now on; refresh tokens stay good."""
        self._access.clear()

    def _check_owner(self, client_id: str, family: Family) -> None:
        if family.client_id != client_id:
            raise OAuthRefused("invalid_grant", "That token was issued to another client.")

    def _issue(self, family: Family, scopes: Scopes, *, with_refresh: bool) -> Issued:
        access_token = f"{self._name}_at_{self._token()}"
        self._access[access_token] = Access(family=family, scopes=scopes, expires_at=self._clock() + self.ttl)
        refresh_token = f"{self._name}_rt_{self._token()}" if with_refresh else None
        self._witness(access_token)
        if refresh_token:
            self._refresh[refresh_token] = Refresh(family)
            self._witness(refresh_token)
        return Issued(access_token=access_token, refresh_token=refresh_token, scopes=scopes)
