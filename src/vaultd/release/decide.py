"""The decision about one exchange, pure: what was asked, the rows that were found, the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from vaultd.audit.events import Decision, Draft, EventType, Report
from vaultd.audit.subject_key import SubjectKey
from vaultd.connections.narrowed import AccessToken
from vaultd.connections.sealing import Delivery
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen, InteractionRequired, RequestRefused, TemporarilyUnavailable
from vaultd.policy import check_covered, scopes_to_narrow_to
from vaultd.scopes import EXACT, ScopeRules
from vaultd.terms import NO_SCOPES, Narrowing, ProviderName, Scopes, Secret, SubjectId

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
    rules: ScopeRules = EXACT
    """What the provider's scopes mean."""
    narrows: bool = False
    """Whether the provider gives tokens for fewer scopes than the grant's."""
    narrowing: Narrowing | None = None
    """What alone the token may be good for, where the client's entry says so; nothing else leaves then."""
    narrowing_failed: RequestRefused | None = None
    """The same for narrowing."""
    refused_token: Secret | None = None
    """What the provider's API refused, as the client says. Another is fetched only if it is what would leave."""
    report: Report | None = None
    """Set on the second try, when that word was heeded: what came of it."""
    renewing_failed: RequestRefused | None = None
    """The refusal that applies if it is still that token which would leave."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A token may leave, and the event that says so is committed: the one in this row, or the narrowed one."""

    row: ConnectionRow
    delivery: Delivery
    draft: Draft
    narrowed: AccessToken | None = None


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


@dataclass(frozen=True, slots=True)
class Narrow:
    """Not decided yet: a token with these scopes is needed first."""

    row: ConnectionRow
    scopes: Scopes


@dataclass(frozen=True, slots=True)
class Renew:
    """Not decided yet: the provider refused the token in this row, or the one narrowed to these scopes."""

    row: ConnectionRow
    scopes: Scopes | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """Not decided: the subject was erased since they were looked up, so no event may be written under their key."""


Verdict = Allowed | Refused | Stale | Narrow | Renew


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
            # Opened before anything is decided by what stands beside it: in an altered row it may say anything.
            delivery = self.deliver(row)
            narrower = _scopes_to_narrow_to(ask, row, delivery.unclear)
            if narrower is not None:
                # `narrowed` goes on from here, with the token of these scopes if there is one.
                return Narrow(row, narrower)
            if stale(ask, row.expires_at, now):
                if ask.refresh_failed is None:
                    return Stale(row)
                if row.expires_at is not None and row.expires_at <= now:
                    raise ask.refresh_failed
            heeded = heed(ask, delivery.access_token, ask.refresh_failed)
        except (RequestRefused, CannotOpen) as error:
            return refused(ask, error)
        if heeded is None:
            return Renew(row)
        return Allowed(row, delivery, left(heeded, row, delivery.account_label, row.granted_scopes))

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


def refused(ask: Ask, error: RequestRefused | CannotOpen) -> Refused:
    """The verdict that nothing leaves. A row that does not open was moved or altered, and the log says so."""
    draft = replace(ask.event, decision=Decision.REFUSED, type=REFUSED, reason=error.reason, reported=_lost(ask, error))
    return Refused(error, draft)


def _lost(ask: Ask, error: RequestRefused | CannotOpen) -> Report | None:
    """What came of a report where nothing leaves: nothing, unless the provider was asked."""
    tried = ask.report is not None or ask.refresh_failed is not None or ask.narrowing_failed is not None
    if ask.refused_token is None or not tried:
        return None
    if isinstance(error, InteractionRequired):
        return Report.ENDED if error.reason == "reconnect_required" else None
    return Report.NOT_RENEWED


def heed(ask: Ask, token: Secret, failed: RequestRefused | None) -> Ask | None:
    """The ask as it stands when this token is about to leave; None where the provider refused it and it is new to us.

    Raises:
        RequestRefused: it is the one that the provider refused, and another was sought in vain.
    """
    if ask.refused_token is None:
        return ask
    if not token.is_equal(ask.refused_token):
        report = Report.NOT_CURRENT if ask.report is None else Report.RENEWED
    elif ask.report is None and failed is None:
        return None
    elif (failure := ask.renewing_failed or failed) is not None:
        raise failure
    else:
        report = Report.LIMIT_REACHED if ask.report is Report.LIMIT_REACHED else Report.NO_OTHER
    return replace(ask, event=replace(ask.event, reported=report))


def left(ask: Ask, row: ConnectionRow, label: str, scopes: Scopes) -> Draft:
    """The event that a token with these scopes leaves."""
    return ask.event.about(row.generation, row.revision, row.id, account=label, scopes=scopes)


def stale(ask: Ask, expires_at: datetime | None, now: datetime) -> bool:
    """Whether a token is so near its end that another is fetched first."""
    return expires_at is not None and expires_at - ask.refresh_margin <= now


def _scopes_to_narrow_to(ask: Ask, row: ConnectionRow, unclear: Scopes) -> Scopes | None:
    if ask.narrowing is not None:
        return ask.narrowing.key
    if not check_covered(
        granted=row.granted_scopes,
        unclear=unclear,
        requested=ask.requested,
        on_wider_grant=ask.on_wider_grant,
        rules=ask.rules,
    ):
        raise _interaction(ask, "scope_missing", granted=row.granted_scopes)
    return scopes_to_narrow_to(
        rules=ask.rules,
        granted=row.granted_scopes,
        allowed=ask.allowed,
        requested=ask.requested,
        on_wider_grant=ask.on_wider_grant,
        # Without a refresh token there is nothing to narrow with.
        can_narrow=ask.narrows and row.refresh_token is not None,
        unclear=unclear,
    )


def _interaction(
    ask: Ask, reason: str, accounts: tuple[str, ...] = (), *, granted: Scopes = NO_SCOPES
) -> InteractionRequired:
    return InteractionRequired(
        reason, connection=ask.provider, display_name=ask.display_name, accounts=accounts, granted=granted
    )


def provider_down(retry_after: int | None, detail: str) -> TemporarilyUnavailable:
    """The refusal when the provider is away and no token is valid any more."""
    return TemporarilyUnavailable(retry_after=retry_after or 5, reason="provider_unavailable", detail=detail)
