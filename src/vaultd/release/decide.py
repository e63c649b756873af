"""The decision about one exchange, pure: what was asked, the rows that were found, the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.subject_key import SubjectKey
from vaultd.connections.sealing import Delivery
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen, InteractionRequired, RequestRefused, TemporarilyUnavailable
from vaultd.policy import check_delivery
from vaultd.terms import ProviderName, Scopes, SubjectId

MatchAccount = Callable[[ConnectionRow, str], bool]
"""Does this row's account carry this id, login or e-mail?"""
Label = Callable[[ConnectionRow], str]
Deliver = Callable[[ConnectionRow], Delivery]


@dataclass(slots=True, kw_only=True)
class Ask:
    """One exchange, admitted: who, for whom, where, and what of it the client may hold."""

    subject_id: SubjectId
    subject: SubjectKey
    provider: ProviderName
    display_name: str
    allowed: Scopes
    requested: Scopes | None
    on_wider_grant: Literal["refuse", "allow"]
    refresh_margin: timedelta
    login_hint: str | None
    event: Draft
    refresh_failed: RequestRefused | None = None
    """Set on the second try, when refreshing did not succeed: a still valid token is then good enough (C4)."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The token in this row may leave, and the event that says so is committed."""

    row: ConnectionRow
    delivery: Delivery
    draft: Draft


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing leaves; the event with the reason is committed."""

    error: RequestRefused | CannotOpen
    draft: Draft


@dataclass(frozen=True, slots=True)
class Stale:
    """Not decided yet: the token must be refreshed first."""

    row: ConnectionRow


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event that was decided elsewhere is committed."""

    draft: Draft


Verdict = Allowed | Refused | Stale


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides. Accounts and tokens are sealed, so looking at them is handed in."""

    label_of: Label
    matches: MatchAccount
    deliver: Deliver

    def decide(self, ask: Ask, rows: Sequence[ConnectionRow], now: datetime) -> Verdict:
        """The verdict on one exchange over the rows of its subject and provider."""
        try:
            row = self._choose(ask, rows)
            _check_scopes(ask, row)
            if _stale(ask, row, now):
                if ask.refresh_failed is None:
                    return Stale(row)
                if row.expires_at is not None and row.expires_at <= now:
                    raise ask.refresh_failed
            # Opened before the event says that it leaves, so that an altered row is refused and not recorded as given.
            delivery = self.deliver(row)
        except (RequestRefused, CannotOpen) as error:
            # A row that does not open was moved or altered: nothing leaves, and the log says so.
            return Refused(error, replace(ask.event, decision=Decision.REFUSED, type=REFUSED, reason=error.reason))
        draft = replace(
            ask.event,
            scopes=row.granted_scopes,
            generation=row.generation,
            revision=row.revision,
            connection_id=row.id,
            account=delivery.account_label,
        )
        return Allowed(row, delivery, draft)

    def _choose(self, ask: Ask, rows: Sequence[ConnectionRow]) -> ConnectionRow:
        live = [row for row in rows if row.status == "connected"]
        if ask.login_hint is not None:
            live = [row for row in live if self.matches(row, ask.login_hint)]
        if len(live) == 1:
            return live[0]
        if live:
            labels = tuple(sorted(self.label_of(row) for row in live))
            raise _interaction(ask, "account_ambiguous", labels)
        # Accounts that a hint does not mean are no reason to reconnect one; ended ones may be the one it means.
        ended = any(row.status != "connected" for row in rows)
        raise _interaction(ask, "reconnect_required" if ended else "not_connected")


REFUSED = EventType.TOKEN_REFUSED


def _check_scopes(ask: Ask, row: ConnectionRow) -> None:
    if ask.requested is not None and not ask.requested <= row.granted_scopes:
        raise _interaction(ask, "scope_missing")
    # A7: where the provider cannot narrow, the whole token leaves or none does.
    check_delivery(granted=row.granted_scopes, allowed=ask.allowed, on_wider_grant=ask.on_wider_grant)


def _stale(ask: Ask, row: ConnectionRow, now: datetime) -> bool:
    return row.expires_at is not None and row.expires_at - ask.refresh_margin <= now


def _interaction(ask: Ask, reason: str, accounts: tuple[str, ...] = ()) -> InteractionRequired:
    return InteractionRequired(reason, connection=ask.provider, display_name=ask.display_name, accounts=accounts)


def provider_down(retry_after: int | None, detail: str) -> TemporarilyUnavailable:
    """The refusal when the provider is away and no token is valid any more."""
    return TemporarilyUnavailable(retry_after=retry_after or 5, reason="provider_unavailable", detail=detail)
