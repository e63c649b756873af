"""The issuer says that somebody has signed out there: their sessions here end (OpenID Connect Back-Channel Logout)."""

from __future__ import annotations

from dataclasses import replace

from vaultd.audit.events import Draft
from vaultd.audit.log import AuditLog
from vaultd.errors import LogoutTokenRefused, Replayed
from vaultd.replay import ReplayMemory
from vaultd.sessions.logout_token import LoggedOut
from vaultd.sessions.store import Sessions
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Subject


class ActOnLogout:
    """Ends the sessions that a believed logout token names."""

    def __init__(self, *, log: AuditLog, sessions: Sessions, subjects: SubjectStore, replay: ReplayMemory) -> None:
        self._log = log
        self._sessions = sessions
        self._subjects = subjects
        self._replay = replay

    async def __call__(self, logged_out: LoggedOut, *, issuer: str, draft: Draft) -> None:
        """Act, once. Somebody who is not signed in here is nothing to us.

        Raises:
            LogoutTokenRefused: the token came before.
            TemporarilyUnavailable: nothing was changed; the issuer may tell us again.
        """
        named = None if logged_out.sub is None else await self._subjects.find(Subject(issuer, logged_out.sub))
        unknown = logged_out.sub is not None and named is None
        async with self._log.transaction() as transaction:
            try:
                # In the same transaction: what could not be done is not remembered as done.
                await self._replay.use_within(
                    transaction.connection, "logout_token", issuer, logged_out.jti, until=logged_out.remember_until
                )
            except Replayed:
                raise LogoutTokenRefused(reason="replayed") from None
            if unknown:
                return
            ended = await self._sessions.end_named(
                transaction.connection, issuer, sid=logged_out.sid, subject_id=named.id if named else None
            )
            for subject_id in ended:
                known = await self._subjects.get(subject_id, within=transaction.connection)
                if known is not None:
                    await transaction.append(replace(draft, subject=known.key))
