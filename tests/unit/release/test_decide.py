"""The decision, case by case: no database, no keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from vaultd.audit.events import Decision, Draft, EventType, Report
from vaultd.audit.subject_key import SubjectKey
from vaultd.connections.sealing import Delivery
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen, InteractionRequired
from vaultd.keys.envelope import Key
from vaultd.release.decide import Allowed, Ask, Judge, Refused, Renew, Stale, Verdict, provider_down
from vaultd.scopes import ScopeRules
from vaultd.terms import ConnectionId, ProviderName, Scopes, Secret, Subject, SubjectId

NOW = datetime(2030, 5, 17, 8, 0, tzinfo=UTC)
MARGIN = timedelta(seconds=60)
SUBJECT = SubjectKey(Subject("https://login.example.com", "alice"), Key(UUID(int=3), b"k" * 32))


def _label(row: ConnectionRow) -> str:
    return f"account {row.id.int}"


JUDGE = Judge(
    _label,
    lambda row, hint: hint == _label(row),
    lambda row: Delivery(Secret(f"token {row.id.int}"), str(row.id.int), _label(row), {}),
)
DOWN = provider_down(None, "no answer")


def row(number: int = 1, **changes: Any) -> ConnectionRow:
    plain = ConnectionRow(
        id=ConnectionId(UUID(int=number)),
        subject_id=SubjectId(UUID(int=2)),
        provider=ProviderName("github"),
        account_ref=b"account",
        account_lookup=None,
        token_lookups=(),
        status="connected",
        reason=None,
        generation=4,
        revision=5,
        granted_scopes=Scopes.parse("repo user"),
        expires_at=NOW + timedelta(hours=1),
        data_key_id=None,
        wrapped_key=None,
        access_token=b"sealed",
        refresh_token=b"sealed",
        account=b"sealed",
        provider_metadata=None,
        created_at=NOW,
        connected_at=NOW,
        refreshed_at=None,
        last_used_on=None,
        lease_fence=0,
        lease_until=None,
        intent_fence=None,
        format=2,
    )
    return replace(plain, **changes)


def ask(**changes: Any) -> Ask:
    plain = Ask(
        subject_id=SubjectId(UUID(int=2)),
        subject=SUBJECT,
        provider=ProviderName("github"),
        display_name="GitHub",
        allowed=Scopes.parse("repo user"),
        requested=None,
        on_wider_grant="refuse",
        refresh_margin=MARGIN,
        login_hint=None,
        event=Draft(type=EventType.TOKEN_EXCHANGED, client_id="agent", connection="github", subject=SUBJECT),
    )
    return replace(plain, **changes)


def decide(rows: list[ConnectionRow], **changes: Any) -> Verdict:
    return JUDGE.decide(ask(**changes), rows, NOW)


def revoked(number: int = 1) -> ConnectionRow:
    return row(number, status="revoked", access_token=None)


def expiring(seconds: float) -> ConnectionRow:
    return row(expires_at=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("rows", "changes", "number"),
    [
        ([row()], {}, 1),
        ([row(expires_at=None)], {}, 1),
        ([expiring(60.000001)], {}, 1),
        ([row()], {"requested": Scopes.parse("repo")}, 1),
        ([row()], {"requested": Scopes()}, 1),
        ([row(granted_scopes=Scopes())], {"on_wider_grant": "allow"}, 1),
        ([row(granted_scopes=Scopes())], {"allowed": Scopes(), "rules": ScopeRules(of_app="always")}, 1),
        ([row(granted_scopes=Scopes.parse("repo"))], {}, 1),
        ([row(granted_scopes=Scopes.parse("repo user admin"))], {"on_wider_grant": "allow"}, 1),
        ([revoked(1), row(2)], {}, 2),
        ([row(1, status="reconnect_required"), row(2)], {}, 2),
        ([row(1), row(2)], {"login_hint": "account 2"}, 2),
        ([expiring(60)], {"refresh_failed": DOWN}, 1),
        ([expiring(0.000001)], {"refresh_failed": DOWN}, 1),
    ],
)
def test_allowed(rows: list[ConnectionRow], changes: dict[str, Any], number: int) -> None:
    verdict = decide(rows, **changes)
    assert isinstance(verdict, Allowed)
    assert verdict.row.id.int == number
    assert verdict.delivery == Delivery(Secret(f"token {number}"), str(number), f"account {number}", {})


@pytest.mark.parametrize(
    ("rows", "changes", "code", "reason"),
    [
        ([], {}, "interaction_required", "not_connected"),
        ([], {"login_hint": "account 1"}, "interaction_required", "not_connected"),
        ([revoked()], {}, "interaction_required", "reconnect_required"),
        ([row(status="reconnect_required")], {}, "interaction_required", "reconnect_required"),
        ([row(1), row(2)], {"login_hint": "account 3"}, "interaction_required", "not_connected"),
        ([row(1), revoked(2)], {"login_hint": "account 2"}, "interaction_required", "reconnect_required"),
        ([row(1), row(2)], {}, "interaction_required", "account_ambiguous"),
        ([row()], {"requested": Scopes.parse("repo gist")}, "interaction_required", "scope_missing"),
        ([row(granted_scopes=Scopes.parse("repo user admin"))], {}, "invalid_scope", "wider_grant"),
        ([row(granted_scopes=Scopes.parse("admin"))], {"allowed": Scopes()}, "invalid_scope", "wider_grant"),
        ([expiring(0)], {"refresh_failed": DOWN}, "temporarily_unavailable", "provider_unavailable"),
        ([expiring(-1)], {"refresh_failed": DOWN}, "temporarily_unavailable", "provider_unavailable"),
        ([expiring(-1)], {"requested": Scopes.parse("gist")}, "interaction_required", "scope_missing"),
    ],
)
def test_refused(rows: list[ConnectionRow], changes: dict[str, Any], code: str, reason: str) -> None:
    verdict = decide(rows, **changes)
    assert isinstance(verdict, Refused)
    assert (verdict.error.code, verdict.error.reason) == (code, reason)
    assert (verdict.draft.type, verdict.draft.decision) == (EventType.TOKEN_REFUSED, Decision.REFUSED)
    assert verdict.draft.reason == reason
    assert verdict.draft.client_id == "agent"
    assert verdict.draft.subject is SUBJECT


@pytest.mark.parametrize("seconds", [60, 1, 0, -1, -86_400])
def test_stale(seconds: float) -> None:
    verdict = decide([expiring(seconds)])
    assert isinstance(verdict, Stale)
    assert verdict.row.id.int == 1


def test_the_event_of_an_exchange_says_what_left() -> None:
    verdict = decide([row()], requested=Scopes.parse("repo"))
    assert isinstance(verdict, Allowed)
    assert (verdict.draft.type, verdict.draft.decision) == (EventType.TOKEN_EXCHANGED, Decision.ALLOWED)
    assert verdict.draft.scopes == Scopes.parse("repo user"), "what was delivered, not what was asked for"
    assert (verdict.draft.generation, verdict.draft.revision) == (4, 5)
    assert verdict.draft.connection_id == UUID(int=1)
    assert verdict.draft.account == "account 1"


def test_ambiguous_accounts_are_named_in_order() -> None:
    verdict = decide([row(2), row(1), revoked(3)])
    assert isinstance(verdict, Refused)
    assert isinstance(verdict.error, InteractionRequired)
    assert verdict.error.accounts == ("account 1", "account 2")


def test_a_row_that_does_not_open_is_refused_with_an_event() -> None:
    def sealed(_: ConnectionRow) -> Delivery:
        raise CannotOpen

    verdict = Judge(JUDGE.label_of, JUDGE.matches, sealed).decide(ask(), [row()], NOW)
    assert isinstance(verdict, Refused)
    assert (verdict.error.reason, verdict.draft.type) == ("cannot_open", EventType.TOKEN_REFUSED)


TOKEN = Secret("token 1")
OTHER = Secret("token 2")


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({}, None),
        ({"refused_token": OTHER}, Report.NOT_CURRENT),
        ({"refused_token": Secret("token")}, Report.NOT_CURRENT),
        ({"refused_token": OTHER, "report": Report.RENEWED}, Report.RENEWED),
        ({"refused_token": OTHER, "report": Report.NOT_RENEWED, "renewing_failed": DOWN}, Report.RENEWED),
        ({"refused_token": TOKEN, "report": Report.RENEWED}, Report.NO_OTHER),
        ({"refused_token": TOKEN, "report": Report.LIMIT_REACHED}, Report.LIMIT_REACHED),
    ],
)
def test_what_came_of_a_refused_token_is_in_the_event(changes: dict[str, Any], reported: Report | None) -> None:
    verdict = decide([row()], **changes)
    assert isinstance(verdict, Allowed)
    assert verdict.draft.reported is reported


def test_the_very_token_that_would_leave_is_renewed_first() -> None:
    verdict = decide([row()], refused_token=TOKEN)
    assert verdict == Renew(row())
    # Stale, it is renewed anyway.
    assert isinstance(decide([expiring(30)], refused_token=TOKEN), Stale)


@pytest.mark.parametrize(
    ("rows", "changes", "reason", "reported"),
    [
        ([row()], {"report": Report.NOT_RENEWED, "renewing_failed": DOWN}, "provider_unavailable", Report.NOT_RENEWED),
        ([expiring(30)], {"refresh_failed": DOWN}, "provider_unavailable", Report.NOT_RENEWED),
        ([row(status="reconnect_required")], {"report": Report.RENEWED}, "reconnect_required", Report.ENDED),
        ([row(status="reconnect_required")], {}, "reconnect_required", None),
        ([row()], {"requested": Scopes.parse("gist")}, "scope_missing", None),
    ],
)
def test_a_refused_token_does_not_leave_again_when_renewing_failed(
    rows: list[ConnectionRow], changes: dict[str, Any], reason: str, reported: Report | None
) -> None:
    verdict = decide(rows, refused_token=TOKEN, **changes)
    assert isinstance(verdict, Refused)
    assert (verdict.error.reason, verdict.draft.reported) == (reason, reported)
