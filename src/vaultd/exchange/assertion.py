"""Subjects that a client asserts by its own signature, to work for a user who is away (api.md §1.2).

The client's word takes the place of the user's token, so much must come together: the client may do this at all, it
has proven itself by its key in this very request, the user is one of its issuer's, and has not switched it off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from vaultd.clients.config import ClientConfig
from vaultd.clients.registry import Client
from vaultd.clients.signed import Kind, SignedByClients
from vaultd.errors import InvalidClient, SubjectTokenRefused, UnauthorizedClient
from vaultd.exchange.context import read_audit_context
from vaultd.exchange.request import TOKEN_VAULT_TOKEN, ExchangeRequest
from vaultd.jose import JwtRefused, UnverifiedJwt, VerifiedJwt, parse_jwt
from vaultd.jose.purposes import SUBJECT_ASSERTION, WORKER_ASSERTION
from vaultd.subjects import rules
from vaultd.subjects.away import AwaySwitch
from vaultd.subjects.config import IssuerConfig
from vaultd.subjects.store import KnownSubject
from vaultd.terms import Subject

JWT = "urn:ietf:params:oauth:token-type:jwt"
LONGEST = timedelta(minutes=5)
OLDEST_OF_A_WORKER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Asserted:
    """What a verified assertion says: who the user is, and the client's reason for asking, if it gives one."""

    subject: Subject
    audit_context: str | None


def find_assertion(request: ExchangeRequest) -> UnverifiedJwt | None:
    """The subject token if it says itself that a client made it: by its `typ`, which is not believed yet."""
    if request.subject_token_type != JWT:
        return None
    try:
        unverified = parse_jwt(request.subject_token)
    except JwtRefused:
        return None  # then it is a bad token of any other kind as well
    return unverified if unverified.unverified_typ in SUBJECT_ASSERTION.types else None


class Assertions:
    """Believes clients that name users. `issuers` are the configured ones, by name."""

    def __init__(
        self,
        *,
        public_url: str,
        configs: Mapping[str, ClientConfig],
        issuers: Mapping[str, IssuerConfig],
        signed: SignedByClients,
        away: AwaySwitch,
    ) -> None:
        self._signed = signed
        self._away = away
        self._issuers = {
            name: frozenset(_url_of(issuer, issuers) for issuer in config.assert_issuer)
            for name, config in configs.items()
            if config.may_assert_subjects
        }
        ours = frozenset({public_url, f"{public_url}/"})
        # One name for both: an assertion that was used as one kind is used up as the other too.
        name = "subject_assertion"
        self._kind = Kind(name=name, purpose=SUBJECT_ASSERTION, audiences=ours, longest=LONGEST)
        self._worker = Kind(
            name=name, purpose=WORKER_ASSERTION, audiences=ours, longest=LONGEST, oldest=OLDEST_OF_A_WORKER
        )

    def check_client(self, client: Client | None) -> Client:
        """The client, if it may assert subjects.

        Raises:
            InvalidClient: the request names no client.
            UnauthorizedClient: `may_not_assert`.
        """
        if client is None:
            raise InvalidClient(reason="no_credentials")
        # The settings see to it that such a client has no other method than its key.
        if client.id not in self._issuers:
            raise UnauthorizedClient("This client may not act for users who are away.", reason="may_not_assert")
        return client

    async def read(self, unverified: UnverifiedJwt, client: Client, *, requested_token_type: str) -> Asserted:
        """What an authenticated client says. Auth0's worker exchange has rules of its own: its age, and a reason.

        Raises:
            SubjectTokenRefused: `reason` is `assert_issuer` or one of `jose.REASONS`.
            TemporarilyUnavailable: the replay memory cannot be asked.
        """
        issuers = self._issuers[client.id]
        kind = self._worker if requested_token_type == TOKEN_VAULT_TOKEN else self._kind
        try:
            jwt = await self._signed.verify(unverified, client_id=client.id, kind=kind)
            audit_context = read_audit_context(jwt.claims)
            subject = _read_subject(jwt, issuers)
            if subject.issuer not in issuers:
                raise SubjectTokenRefused(reason="assert_issuer", detail=f"assert_issuer lacks {subject.issuer!r}")
            await self._signed.use_up(jwt, client_id=client.id, kind=kind)
        except JwtRefused as refused:
            raise SubjectTokenRefused(reason=refused.reason, detail=refused.detail) from None
        return Asserted(subject, audit_context)

    async def check_away(self, subject: KnownSubject, client: Client) -> None:
        """Raise `SubjectTokenRefused`, `away_refused`, where the user has switched this client off."""
        if await self._away.is_refused(subject.id, client.id):
            raise SubjectTokenRefused(reason="away_refused")

    def acting_for(self, issuer: str) -> list[str]:
        """The clients that may act for users of this issuer while these are away, by name."""
        return sorted(name for name, issuers in self._issuers.items() if issuer in issuers)


def _url_of(name_or_url: str, issuers: Mapping[str, IssuerConfig]) -> str:
    return issuers[name_or_url].issuer if name_or_url in issuers else name_or_url


def _read_subject(jwt: VerifiedJwt, issuers: frozenset[str]) -> Subject:
    if not isinstance(jwt.claims["aud"], str):
        raise JwtRefused("wrong_audience", "a list")
    if "sub_id" in jwt.claims:
        return _read_sub_id(jwt.claims["sub_id"], jwt.claims)
    if len(issuers) != 1:
        raise JwtRefused("missing_claim", "sub_id: the client acts for users of several issuers")
    return Subject(next(iter(issuers)), rules.read_sub(jwt.claims))


def _read_sub_id(sub_id: object, claims: Mapping[str, Any]) -> Subject:
    # RFC 9493 §3: a format's members are all required, and no others are allowed.
    if not isinstance(sub_id, dict) or sub_id.keys() != {"format", "iss", "sub"} or sub_id["format"] != "iss_sub":
        raise JwtRefused("malformed", "sub_id")
    issuer, sub = sub_id["iss"], rules.read_sub(sub_id)
    if not isinstance(issuer, str):
        raise JwtRefused("malformed", "sub_id")
    # RFC 9493 §4.1: a `sub` beside it is the same subject.
    if "sub" in claims and claims["sub"] != sub:
        raise JwtRefused("wrong_claim", "sub differs from sub_id")
    return Subject(issuer, sub)
