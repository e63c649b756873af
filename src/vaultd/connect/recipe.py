"""Consent: begin, send the browser to the provider, take it back, complete.

A consent belongs to one user, one provider and one browser from its first step on. `ticket`, `state`, `connect_code`
and `auth_session` are random, single-use, stored as hashes and good for ten minutes (security B1, B3).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

import structlog
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.log import AuditLog, AuditTransaction
from vaultd.connect.flow import (
    ERASED,
    Begun,
    Looked,
    Returned,
    Sent,
    Sought,
    Wish,
    begun_with,
    callback_metadata,
    callback_scopes,
    comes_from,
    error_url,
    refusal,
    refused,
    scopes_sought,
    trouble_url,
    why_not,
    with_query,
)
from vaultd.connect.keeping import Held, Keeping
from vaultd.connect.recognition import Recognition, former_of
from vaultd.connect.redemption import BesideCode, Redemption
from vaultd.connect.returning import ReturnPlaces
from vaultd.connect.trouble import trouble_of
from vaultd.connections.grants import Brought, GrantStore
from vaultd.connections.pending import Pending, PendingGrants
from vaultd.db import Database
from vaultd.errors import CannotOpen, ConsentRefused, ProviderError, TemporarilyUnavailable
from vaultd.policy import entry_at
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Provider, Providers
from vaultd.providers.told import from_elsewhere, note, refused_in_redirect
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.terms import Clock, Scopes, Secret

LASTS = timedelta(minutes=10)
SWEEP_EVERY = 60
"""Seconds between two looks for consents that nobody completed."""


class Connect:
    """The consent recipes of the accounts API and of the browser's plain door."""

    def __init__(
        self,
        *,
        public_url: str,
        database: Database,
        log: AuditLog,
        pending: PendingGrants,
        places: ReturnPlaces,
        subjects: SubjectStore,
        providers: Providers,
        oauth: OAuthClient,
        grants: GrantStore,
        clock: Clock,
        listed: Callable[[str], Collection[str]] = lambda _: (),
    ) -> None:
        self._public_url = public_url
        self._database = database
        self._log = log
        self._pending = pending
        self._places = places
        self._subjects = subjects
        self._providers = providers
        self._oauth = oauth
        self._grants = grants
        self._redemption = Redemption(oauth=oauth, clock=clock, redirect_uri=self.redirect_uri)
        self._recognition = Recognition(database=database, oauth=oauth, grants=grants)
        self._keeping = Keeping(database=database, grants=grants)
        self._clock = clock
        self._listed = listed

    async def begin(self, subject: KnownSubject, wish: Wish) -> Begun:
        """Begin by the accounts API.

        Raises:
            InvalidTarget, InvalidScope, InvalidRequest: this client may not ask for this.
        """
        auth_session, ticket = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        hashed = self._pending.hashed(auth_session=auth_session, ticket=ticket)
        await self._begin(subject, wish, kind="api", columns={**hashed, "stage": "begun"})
        return Begun(auth_session, ticket, int(LASTS.total_seconds()))

    async def look(self, ticket: str, *, request_id: str | None = None) -> Looked:
        """What the ticket is for; it stays as good as it was, or is refused. Raises `ConsentRefused`."""
        with _as_stored():
            async with self._database.transaction() as connection:
                found_by = self._pending.hashed(ticket=ticket)
                begun = await self._pending.find(connection, **found_by, stage="begun")
        if begun is None or begun.expires_at <= self._clock():
            raise ConsentRefused(reason="ticket")
        await self._check_place(begun, request_id=request_id)
        subject = await self._subjects.get(begun.subject_id)
        if subject is None:
            raise ConsentRefused(reason="ticket")
        return Looked.at(begun, subject)

    async def visit(self, ticket: str, browser: str, *, clicked: bool = False, request_id: str | None = None) -> str:
        """The browser brings the ticket; gives the provider's URL.

        With `clicked`, on the page that was shown to this browser, a second click leads there once more, and the state
        of the first is worth nothing from then on. Raises `ConsentRefused`.
        """
        state = secrets.token_urlsafe(32)
        hashed = self._pending.hashed(state=state, browser=browser)
        places: list[dict[str, Any]] = [{"stage": "begun"}]
        if clicked:
            places.append({"stage": "sent", **self._pending.hashed(browser=browser)})
        begun = None
        with _as_stored():
            async with self._database.transaction() as connection:
                for place in places:
                    found_by = {**self._pending.hashed(ticket=ticket), **place}
                    begun = begun or await self._pending.advance(
                        connection, found_by=found_by, stage="sent", now=self._clock(), set_=hashed
                    )
        if begun is None:
            raise ConsentRefused(reason="ticket")
        await self._check_place(begun, request_id=request_id)
        return self._provider_url(self._providers.get(begun.provider), begun.private, state)

    async def door(self, subject: KnownSubject, wish: Wish, browser: str) -> Sent:
        """Begin from a signed-in browser. Raises as `begin` does."""
        state = secrets.token_urlsafe(32)
        hashed = self._pending.hashed(state=state, browser=browser)
        private = await self._begin(subject, wish, kind="door", columns={**hashed, "stage": "sent"})
        url = self._provider_url(self._providers.get(wish.provider), private, state)
        return Sent(url, Sought(Scopes(private["scopes"]), Scopes(private["own_scopes"])))

    async def callback(self, returned: Returned) -> str:
        """The provider sends the browser back; gives the URL where it goes next.

        Raises:
            ConsentRefused: a stale, replayed or foreign callback. Nothing was redeemed.
        """
        # 1. one redemption of this state, at its own provider, in its own browser (B1, B2)
        waiting = await self._take_back(returned)
        provider = self._providers.get(waiting.provider).at(waiting.private.get("settings", {}))
        # 2. RFC 9207 §2.4: a declared issuer must be the one that answers
        if not comes_from(provider.config, returned):
            note(provider.name, from_elsewhere(returned.unverified_issuer), reason="invalid_issuer")
            return await self._failed(waiting, "invalid_issuer", request_id=returned.request_id)
        # 3. from here on, what was issued is stored or given back (B3)
        async with self._keeping.holding(waiting) as held:
            return await self._redeem(provider, waiting, returned, held)

    async def complete(
        self,
        subject: KnownSubject,
        *,
        auth_session: str,
        connect_code: str,
        redirect_uri: str,
        code_verifier: str | None,
        draft: Draft,
    ) -> UUID:
        """The app that began makes the connection; gives its id.

        Raises:
            ConsentRefused: by another user (`foreign`: the grant is then revoked at the provider), a second time,
                with another `redirect_uri` or verifier.
        """
        auth_session_hash = self._pending.hash_of("auth_session", auth_session)
        async with self._log.transaction() as transaction:
            taken, brought = await self._taken(transaction.connection, connect_code)
            outcome: UUID | str | None = why_not(
                taken,
                subject,
                auth_session_hash=auth_session_hash,
                redirect_uri=redirect_uri,
                code_verifier=code_verifier,
            )
            if outcome is None:
                outcome = await self._store(transaction, subject, self._providers.get(taken.provider), brought, draft)
            if isinstance(outcome, str):
                # B3: a grant that does not become its user's connection does not stay alive at the provider.
                await self._grants.give_back(transaction.connection, taken.provider, taken.subject_id, brought)
                await transaction.append(refused(draft, taken, outcome))
            await self._pending.forget(transaction.connection, taken)
        if isinstance(outcome, str):
            raise refusal(outcome)
        return outcome

    async def drain(self) -> None:
        """Let what is being given back come to the outbox."""
        await self._keeping.drain()

    async def sweep(self) -> None:
        """Give back and forget consents that nobody completed, for as long as the process serves."""
        log = _log()
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                await self.sweep_once()
            except TemporarilyUnavailable:
                # The database is away; what is over stays over.
                pass
            except Exception:
                # Grants that are never given back are worse than a line in the log every minute.
                log.exception("consents that nobody completed could not be swept")

    async def sweep_once(self) -> int:
        """Forget what has expired; a grant that was redeemed for it is revoked at the provider."""
        async with self._log.transaction() as transaction:
            expired = await self._pending.expired(transaction.connection, now=self._clock())
            for over in expired:
                if over.granted is not None:
                    document = await self._pending.open_grant(transaction.connection, over)
                    await self._grants.give_back(
                        transaction.connection, over.provider, over.subject_id, Brought.from_json(document)
                    )
                await self._pending.forget(transaction.connection, over)
        return len(expired)

    async def _redeem(self, provider: Provider, waiting: Pending, returned: Returned, held: Held) -> str:
        try:
            # 4. the provider's own refusal
            code = _code_of(returned)
            # 5. redeem the code, and find out whose account it is
            beside_code = callback_metadata(provider.config, returned.unverified_query)
            told = callback_scopes(provider.config, returned.unverified_query)
            brought = await self._redemption(provider, waiting, code, BesideCode(beside_code, told), held)
            unfilled = self._providers.get(waiting.provider)
            held.brought = brought = await self._recognition(unfilled, waiting.subject_id, brought)
        except ProviderError as error:
            return await self._in_trouble(waiting, provider, error, request_id=returned.request_id)
        # 6. the signed-in browser that began completes here; an app completes by its own call
        if waiting.kind == "door":
            return await self._complete_at_door(waiting, provider, brought, held, request_id=returned.request_id)
        connect_code = secrets.token_urlsafe(32)
        if not await self._kept(waiting, brought, connect_code):
            await self._refuse_ownerless(waiting, request_id=returned.request_id)
        held.settle()
        return with_query(waiting.redirect_uri, {"connect_code": connect_code, "state": waiting.private["state"]})

    async def _begin(self, subject: KnownSubject, wish: Wish, *, kind: str, columns: dict[str, Any]) -> dict[str, Any]:
        provider = self._providers.get(wish.provider)
        grant = entry_at(wish.client.config.providers, provider.name)
        settings, params = begun_with(provider, wish)
        sought = scopes_sought(provider, grant, wish.scopes, await self._had(subject, provider))
        private = {
            "verifier": secrets.token_urlsafe(48),
            "state": wish.state,
            "scopes": sorted(sought.scopes),
            "own_scopes": sorted(sought.own),
            "params": params,
            "settings": settings,
            "nonce": secrets.token_urlsafe(32) if provider.config.reads_id_tokens else None,
        }
        now = self._clock()
        common = {
            "kind": kind,
            "subject_id": subject.id,
            "client_id": wish.client.id,
            "provider": provider.name,
            "redirect_uri": wish.redirect_uri,
            "code_challenge": wish.code_challenge,
        }
        async with self._database.transaction() as connection:
            await self._pending.begin(
                connection,
                columns=common | columns,
                private=private,
                now=now,
                expires_at=now + LASTS,
            )
        return private

    async def _had(self, subject: KnownSubject, provider: Provider) -> Scopes:
        """What the user has granted at this provider and not taken back, whichever account they choose there now.

        As far as some client's list has it. Nobody could use the rest, and a provider may not even take the words in
        which it answered.
        """
        if not provider.config.consent_replaces:
            return Scopes()
        async with self._database.transaction() as connection:
            granted = await self._grants.scopes_at(connection, subject.id, provider.name)
        return provider.config.scope_rules.common(granted, self._listed(provider.name))

    def _provider_url(self, provider: Provider, private: dict[str, Any], state: str) -> str:
        return self._oauth.authorization_url(
            provider.at(private.get("settings", {})),
            redirect_uri=self.redirect_uri(provider.name),
            state=state,
            scopes=Scopes(private["scopes"]),
            code_challenge=create_s256_code_challenge(private["verifier"]),
            extra=private["params"],
            nonce=private.get("nonce"),
        )

    def redirect_uri(self, provider: str) -> str:
        """The callback to register at a provider; one for each, so that answers cannot be mixed up (B2)."""
        return f"{self._public_url}/auth/callback/{provider}"

    async def _take_back(self, returned: Returned) -> Pending:
        hashed = self._pending.hashed(state=returned.unverified_state, browser=returned.browser or "")
        found_by = {**hashed, "provider": returned.provider, "stage": "sent"}
        with _as_stored():
            async with self._database.transaction() as connection:
                waiting = await self._pending.advance(
                    connection, found_by=found_by, stage="returned", now=self._clock(), set_={}
                )
        if waiting is None:
            raise ConsentRefused(reason="state")
        if waiting.kind == "door" and waiting.subject_id != returned.session_subject:
            await self._failed(waiting, "foreign", request_id=returned.request_id)
            raise ConsentRefused(reason="foreign")
        await self._check_place(waiting, request_id=returned.request_id)
        return waiting

    async def _check_place(self, waiting: Pending, *, request_id: str | None) -> None:
        """At each step on the way: no page offers a place that is no longer one, and no browser is sent there."""
        try:
            self._places.check(waiting)
        except ConsentRefused as refused_place:
            await self._failed(waiting, refused_place.reason, request_id=request_id)
            raise

    async def _kept(self, waiting: Pending, brought: Brought, connect_code: str) -> bool:
        """Whether the consent is still there, as it was, and what it brought is kept beside it."""
        try:
            async with self._database.transaction() as connection:
                return await self._pending.keep_grant(
                    connection, waiting, grant=brought.to_json(), connect_code=connect_code
                )
        except CannotOpen as error:
            _log().error("a consent under way does not open", detail=error.detail)
            return False

    async def _taken(self, connection: AsyncConnection, connect_code: str) -> tuple[Pending, Brought]:
        """The consent of a connect code, once, and what was granted for it. Raises `ConsentRefused`."""
        with _as_stored():
            taken = await self._pending.advance(
                connection,
                found_by={**self._pending.hashed(connect_code=connect_code), "stage": "returned"},
                stage="done",
                now=self._clock(),
                set_={},
            )
            if taken is None:
                raise ConsentRefused(reason="connect_code")
            return taken, Brought.from_json(await self._pending.open_grant(connection, taken))

    async def _in_trouble(
        self, waiting: Pending, provider: Provider, error: ProviderError, *, request_id: str | None
    ) -> str:
        """The provider did not do its part: told to the log, in the event and to the person, each as fits."""
        trouble = trouble_of(error, declined=provider.config.declined_errors)
        note(provider.name, error, reason=trouble.reason)
        await self._failed(waiting, trouble.reason, request_id=request_id)
        return trouble_url(waiting, trouble, request_id)

    async def _failed(self, waiting: Pending, reason: str, *, request_id: str | None = None) -> str:
        known = await self._subjects.get(waiting.subject_id)
        draft = Draft(
            type=EventType.CONNECTION_REFUSED,
            decision=Decision.REFUSED,
            reason=reason,
            client_id=waiting.client_id,
            connection=waiting.provider,
            request_id=request_id,
            subject=known.key if known else None,
        )
        async with self._log.transaction() as transaction:
            await self._pending.forget(transaction.connection, waiting)
            await transaction.append(draft)
        return error_url(waiting, reason)

    async def _complete_at_door(
        self, waiting: Pending, provider: Provider, brought: Brought, held: Held, *, request_id: str | None
    ) -> str:
        subject = await self._subjects.get(waiting.subject_id)
        if subject is None:
            await self._refuse_ownerless(waiting, request_id=request_id)
        draft = Draft(
            type=EventType.CONNECTION_CONNECTED,
            client_id=waiting.client_id,
            subject=subject.key,
            request_id=request_id,
        )
        async with self._log.transaction() as transaction:
            outcome = await self._store(transaction, subject, provider, brought, draft)
            if isinstance(outcome, str):
                await self._grants.give_back(transaction.connection, waiting.provider, waiting.subject_id, brought)
                await transaction.append(refused(draft, waiting, outcome))
            await self._pending.forget(transaction.connection, waiting)
        held.settle()
        if isinstance(outcome, str):
            _log().info("a consent became no connection", provider=waiting.provider, reason=outcome)
            return error_url(waiting, outcome)
        return with_query(waiting.redirect_uri, {"connection": provider.name, "status": "connected"})

    async def _refuse_ownerless(self, waiting: Pending, *, request_id: str | None) -> NoReturn:
        """The user was erased while the provider asked them: what it granted is nobody's."""
        async with self._log.transaction() as transaction:
            draft = Draft(type=EventType.CONNECTION_REFUSED, client_id=waiting.client_id, request_id=request_id)
            await transaction.append(refused(draft, waiting, ERASED))
        raise ConsentRefused(reason=ERASED)

    async def _store(
        self, transaction: AuditTransaction, subject: KnownSubject, provider: Provider, brought: Brought, draft: Draft
    ) -> UUID | str:
        # Alone, so that of two accounts that come at once to a `single` provider one is the first.
        if await self._subjects.hold(transaction.connection, subject.id, alone=True) is None:
            return ERASED
        return await self._grants.store(
            transaction,
            subject_id=subject.id,
            subject=subject.key,
            provider=provider.name,
            single=provider.config.accounts == "single",
            brought=brought,
            draft=draft,
            assumed_life=timedelta(seconds=provider.config.assumed_ttl) if provider.config.expires else None,
            former=former_of(provider.config, brought),
        )


def _code_of(returned: Returned) -> Secret:
    """The code that came back. Raises `ProviderRefused` where there is none, and where an error stands in its place."""
    if returned.unverified_error is None and returned.unverified_code is not None:
        return Secret(returned.unverified_code)
    # RFC 6749 §4.1.2.1: an error stands in the place of a code; one that comes beside it was put there.
    sent = [Secret(value) for value in (returned.unverified_state, returned.unverified_code) if value]
    description = returned.unverified_query.get("error_description")
    raise refused_in_redirect(returned.unverified_error or "invalid_request", description, sent=sent)


@contextmanager
def _as_stored() -> Iterator[None]:
    """Refuse a consent whose row is not as it was stored."""
    try:
        yield
    except CannotOpen as error:
        _log().error("a consent under way does not open", detail=error.detail)
        raise ConsentRefused(reason=error.reason, detail=error.detail) from None


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("vaultd.connect")
    return logger
