"""Steps 1 and 2 of an exchange: the client, the subject, and the actor."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from vaultd.clients.limits import ClientLimits
from vaultd.clients.registry import Client, Clients
from vaultd.exchange.assertion import Assertions, find_assertion
from vaultd.exchange.request import Attempt
from vaultd.jose import UnverifiedJwt
from vaultd.policy import Presented, check_actor, check_may_act, check_presenter
from vaultd.subjects.possession import Possession, PresentedProofs
from vaultd.subjects.store import SubjectStore
from vaultd.subjects.strangers import Stranger
from vaultd.subjects.tokens import VerifiedSubject
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import ClientId


class Parties:
    """Finds out who asks and for whom, and writes it into the attempt as soon as it is proven."""

    def __init__(
        self,
        *,
        clients: Clients,
        verifier: SubjectVerifier,
        possession: Possession,
        assertions: Assertions,
        subjects: SubjectStore,
        limits: ClientLimits,
        token_endpoint: str,
    ) -> None:
        self._clients = clients
        self._verifier = verifier
        self._possession = possession
        self._assertions = assertions
        self._subjects = subjects
        self._limits = limits
        self._token_endpoint = token_endpoint

    async def identify(self, attempt: Attempt) -> Client:
        """The client; the rest stands in the attempt. Raises `RequestRefused`."""
        # 1. the client, unless the subject token is to name it
        claimed = await self._authenticated(attempt)
        # 2. the subject, and the actor
        unverified = find_assertion(attempt.request)
        if unverified is not None:
            return await self._asserted(attempt, claimed, unverified)
        return await self._present(attempt, claimed)

    async def look_again(self, attempt: Attempt) -> None:
        """Look up once more a subject that was erased since. Who presents a good token is a new subject then."""
        if attempt.subject is None:
            return
        subject = attempt.subject.key.subject
        self._subjects.forget(subject)
        if attempt.presence == "present":
            attempt.subject = await self._subjects.current(subject)
        else:
            attempt.subject = await self._subjects.find(subject)

    async def _authenticated(self, attempt: Attempt) -> Client | None:
        """The client that the credentials name. It counts as proven, and as asking, only if it has a secret.

        Anyone may name a client without one, with any token: its requests count once its users' tokens are verified,
        so that no stranger can use up its limit or fill the log in its name (A11).
        """
        if attempt.request.credentials is None:
            # Before the token is looked at: nobody else's may cost us a call to its issuer.
            self._clients.check_implicit()
            return None
        client = await self._clients.authenticate(attempt.request.credentials, ip=attempt.request.ip)
        if not client.public:
            attempt.client = client
            # Before the subject is looked at, so that a flood of bad tokens is held back too.
            self._limits.take(client)
        return client

    async def _present(self, attempt: Attempt, claimed: Client | None) -> Client:
        request = attempt.request
        proofs = PresentedProofs(request.dpop, "POST", self._token_endpoint)
        verified = await self._verifier.verify(
            request.subject_token,
            request.subject_token_type,
            # Only a client that has proven itself is in the attempt by now.
            stranger=Stranger(request.ip) if attempt.client is None else None,
        )
        await self._possession.check(verified, request.subject_token, proofs)
        client = claimed or self._clients.implicit_for(verified.presenter, ip=request.ip)
        check_presenter(_presented(verified, client.id, accepted=client.subject_azp))
        attempt.client = client
        self._limits.take_for(client, verified.subject)
        if client.public:
            self._limits.take(client)
        attempt.subject = await self._subjects.ensure(verified.subject)
        attempt.presence = "present"
        attempt.actor = await self._acting(attempt, verified, client, proofs)
        return client

    async def _asserted(self, attempt: Attempt, claimed: Client | None, unverified: UnverifiedJwt) -> Client:
        attempt.presence = "asserted"
        client = self._assertions.check_client(claimed)
        subject = await self._assertions.subject(unverified, client)
        self._limits.take_for(client, subject)
        # No row is made for a user who is only spoken of: anyone could be, and whoever has none has no connection.
        attempt.subject = await self._subjects.find(subject)
        if attempt.subject is not None:
            await self._assertions.check_away(attempt.subject, client)
        # `may_act` and `act` are claims of a user's token; here the client has said all there is to say.
        proofs = PresentedProofs(attempt.request.dpop, "POST", self._token_endpoint)
        actor = await self._actor(attempt, client, proofs)
        attempt.actor = _named(actor) if actor else None
        return client

    async def _acting(
        self, attempt: Attempt, verified: VerifiedSubject, client: Client, proofs: PresentedProofs
    ) -> dict[str, Any] | None:
        if attempt.request.actor_token is None and verified.may_act is None and verified.act is None:
            return None
        actor = await self._actor(attempt, client, proofs)
        check_may_act(  # RFC 8693 §4.4
            may_act=verified.may_act,
            subject_issuer=verified.subject.issuer,
            actor=actor.subject if actor else None,
            client_names={str(client.id), *client.subject_azp},
        )
        chain = dict(verified.act) if verified.act is not None else None
        if actor is None:
            return chain
        return _named(actor) | ({"act": chain} if chain else {})  # RFC 8693 §4.1

    async def _actor(self, attempt: Attempt, client: Client, proofs: PresentedProofs) -> VerifiedSubject | None:
        token, token_type = attempt.request.actor_token, attempt.request.actor_token_type
        if token is None:
            return None
        stranger = Stranger(attempt.request.ip) if client.public else None
        actor = await self._verifier.verify(token, token_type or "", stranger=stranger)
        await self._possession.check(actor, token, proofs)
        check_actor(_presented(actor, client.id, accepted=client.actor_azp), sub=actor.subject.sub)
        return actor


def _presented(token: VerifiedSubject, client_id: ClientId, *, accepted: Collection[str]) -> Presented:
    return Presented(
        presenter=token.presenter,
        client_id=client_id,
        accepted=accepted,
        trusted_clients=token.trusted_clients,
        only_trusted=token.only_trusted,
    )


def _named(actor: VerifiedSubject) -> dict[str, Any]:
    return {"iss": actor.subject.issuer, "sub": actor.subject.sub}
