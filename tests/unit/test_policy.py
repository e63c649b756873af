"""The pure rules: who may present, who may act, which scopes (security A5, A6, A7)."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from vaultd.errors import InvalidScope, InvalidTarget, SubjectTokenRefused
from vaultd.policy import (
    Presented,
    allowed_scopes,
    check_actor,
    check_delivery,
    check_may_act,
    check_presenter,
    entry_at,
    scopes_to_narrow_to,
)
from vaultd.scopes import ScopeRules
from vaultd.terms import Scopes, Subject

ISSUER = "https://login.example.com/"


def _in_hand(
    presenter: str | None, accepted: tuple[str, ...], trusted: tuple[str, ...], *, only_trusted: bool
) -> Presented:
    return Presented(
        presenter=presenter, client_id="agent", accepted=accepted, trusted_clients=trusted, only_trusted=only_trusted
    )


def _presents(presenter: str | None, *, trusted: tuple[str, ...] = (), only_trusted: bool = False) -> None:
    check_presenter(_in_hand(presenter, ("web-app",), trusted, only_trusted=only_trusted))


def test_a_token_issued_to_this_client_or_presented_by_a_trusted_one() -> None:
    _presents("web-app")
    _presents("other-app", trusted=("agent",))
    _presents(None, trusted=("agent",))
    _presents(None, trusted=("agent",), only_trusted=True)


@pytest.mark.parametrize(
    ("presenter", "trusted", "only_trusted", "settings"),
    [
        ("other-app", (), False, {"subject_azp", "trusted_clients"}),
        ("agent", (), False, {"subject_azp", "trusted_clients"}),
        ("web-ap", (), False, {"subject_azp", "trusted_clients"}),
        ("other-app", ("other-app",), False, {"subject_azp", "trusted_clients"}),
        (None, (), False, {"trusted_clients"}),
        (None, (), True, {"trusted_clients"}),
        ("web-app", (), True, {"trusted_clients"}),
    ],
)
def test_any_other_presenter_is_refused_with_the_setting_that_would_allow_it(
    presenter: str | None,
    trusted: tuple[str, ...],
    only_trusted: bool,  # noqa: FBT001 - a parameter of the table
    settings: set[str],
) -> None:
    """A5: for the log line; the answer says nothing of it."""
    with pytest.raises(SubjectTokenRefused) as caught:
        _presents(presenter, trusted=trusted, only_trusted=only_trusted)
    assert caught.value.reason == "wrong_presenter"
    assert {name for name in ("subject_azp", "trusted_clients") if name in caught.value.detail} == settings
    assert caught.value.description == SubjectTokenRefused.description


def _acts_by(
    presenter: str | None, *, sub: str = "bot", trusted: tuple[str, ...] = (), only_trusted: bool = False
) -> None:
    check_actor(_in_hand(presenter, ("web-app", "robot"), trusted, only_trusted=only_trusted), sub=sub)


def test_an_actor_token_issued_to_this_client_or_presented_by_a_trusted_one() -> None:
    """A5 holds for actor tokens as for subject tokens."""
    _acts_by("web-app")
    _acts_by("robot")
    _acts_by("other-app", trusted=("agent",))
    _acts_by(None, trusted=("agent",), only_trusted=True)


def test_a_clients_own_token_makes_it_the_actor() -> None:
    """RFC 9068 §2.2: a client's token has its name as `sub` and under `client_id`."""
    _acts_by("agent", sub="agent")


@pytest.mark.parametrize(
    ("presenter", "sub", "trusted", "only_trusted", "settings"),
    [
        ("other-app", "bot", (), False, {"actor_azp", "trusted_clients"}),
        ("agent", "bot", (), False, {"actor_azp", "trusted_clients"}),
        ("other-app", "agent", (), False, {"actor_azp", "trusted_clients"}),
        ("other-app", "other-app", ("other-app",), False, {"actor_azp", "trusted_clients"}),
        (None, "bot", (), False, {"trusted_clients"}),
        (None, "web-app", (), False, {"trusted_clients"}),
        (None, "agent", (), False, {"trusted_clients"}),
        ("robot", "bot", (), True, {"trusted_clients"}),
        (None, "agent", ("other",), True, {"trusted_clients"}),
    ],
)
def test_any_other_actor_token_is_refused_with_the_setting_that_would_allow_it(
    presenter: str | None,
    sub: str,
    trusted: tuple[str, ...],
    only_trusted: bool,  # noqa: FBT001 - a parameter of the table
    settings: set[str],
) -> None:
    with pytest.raises(SubjectTokenRefused) as caught:
        _acts_by(presenter, sub=sub, trusted=trusted, only_trusted=only_trusted)
    assert caught.value.reason == "wrong_presenter"
    assert {name for name in ("actor_azp", "subject_azp", "trusted_clients") if name in caught.value.detail} == settings
    assert "the actor token" in caught.value.detail
    assert caught.value.description == SubjectTokenRefused.description


def _acts(may_act: dict[str, Any] | None, actor: Subject | None) -> None:
    check_may_act(may_act=may_act, subject_issuer=ISSUER, actor=actor, client_names=frozenset({"agent", "web-app"}))


BOT = Subject(ISSUER, "bot")


@pytest.mark.parametrize(
    ("may_act", "actor"),
    [
        (None, None),
        (None, BOT),
        ({"sub": "bot"}, BOT),
        ({"sub": "bot", "iss": ISSUER}, BOT),
        ({"sub": "bot", "client_id": "agent"}, BOT),
        ({"sub": "bot", "iss": "https://b.example"}, Subject("https://b.example", "bot")),
        ({"sub": "agent"}, None),
        ({"sub": "web-app", "iss": ISSUER}, None),
        ({"client_id": "agent"}, None),
        ({"client_id": "agent"}, BOT),
    ],
)
def test_may_act_names_who_acts(may_act: dict[str, Any] | None, actor: Subject | None) -> None:
    _acts(may_act, actor)


@pytest.mark.parametrize(
    ("may_act", "actor"),
    [
        ({}, BOT),
        ({}, None),
        ({"iss": ISSUER}, BOT),
        ({"email": "bot@example.com"}, BOT),
        ({"sub": "other"}, BOT),
        ({"sub": ["bot"]}, BOT),
        ({"sub": None}, None),
        ({"sub": {}}, None),
        ({"sub": "bot", "iss": "https://b.example"}, BOT),
        ({"sub": "bot", "iss": None}, BOT),
        ({"sub": "bot"}, Subject("https://b.example", "bot")),
        ({"sub": "bot", "client_id": "other"}, BOT),
        ({"sub": "bot"}, None),
        ({"sub": "agent"}, BOT),
        ({"sub": "agent", "iss": "https://b.example"}, None),
        ({"client_id": "other"}, None),
        ({"client_id": ["agent"]}, None),
    ],
)
def test_may_act_that_names_somebody_else(may_act: dict[str, Any], actor: Subject | None) -> None:
    with pytest.raises(SubjectTokenRefused) as caught:
        _acts(may_act, actor)
    assert caught.value.reason == "may_act"


def test_requested_scopes_lie_within_the_clients_list() -> None:
    grant = ("repo", "read:user")
    assert allowed_scopes(grant, None) == allowed_scopes(grant, Scopes()) == Scopes(grant)
    assert allowed_scopes(grant, Scopes({"repo"})) == Scopes({"repo"})
    for requested in ({"admin"}, {"repo", "admin"}, {"REPO"}):
        with pytest.raises(InvalidScope) as caught:
            allowed_scopes(grant, Scopes(requested))
        assert caught.value.reason == "scope_not_allowed"
    with pytest.raises(InvalidScope):
        allowed_scopes((), Scopes({"repo"}))


@pytest.mark.parametrize(
    ("granted", "on_wider_grant", "delivered"),
    [
        ({"repo"}, "refuse", True),
        ({"repo", "read:user"}, "refuse", True),
        (set(), "allow", True),
        ({"repo", "admin"}, "refuse", False),
        ({"repo", "admin"}, "allow", True),
    ],
)
def test_a_wider_grant_leaves_only_where_the_entry_says_so(
    granted: set[str],
    on_wider_grant: Literal["refuse", "allow"],
    delivered: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    def deliver() -> None:
        check_delivery(granted=Scopes(granted), allowed=("repo", "read:user"), on_wider_grant=on_wider_grant)

    if delivered:
        deliver()
        return
    with pytest.raises(InvalidScope) as caught:
        deliver()
    assert caught.value.reason == "wider_grant"
    assert "admin" in caught.value.detail
    assert "admin" not in caught.value.description


def test_words_that_may_be_others_for_what_was_asked_are_told_as_unknown_and_not_only_as_more() -> None:
    with pytest.raises(InvalidScope) as caught:
        check_delivery(
            granted=Scopes({"urn:own:read"}), allowed=("read",), unclear=Scopes({"read"}), on_wider_grant="refuse"
        )
    assert caught.value.reason == "wider_grant"
    assert caught.value.detail == (
        "beyond the client's list: urn:own:read;"
        " whether one of these is another word for read is not known: see scope_aliases"
    )


def test_a7_and_a8_a_client_has_an_entry_at_a_provider_or_is_refused() -> None:
    assert entry_at({"github": ("repo",)}, "github") == ("repo",)
    assert entry_at({"github": ()}, "github") == ()
    for entries in ({}, {"gitlab": ("repo",)}, {"GitHub": ("repo",)}, {"*": ("repo",)}):
        with pytest.raises(InvalidTarget) as caught:
            entry_at(entries, "github")
        assert caught.value.reason == "forbidden_provider"
        # The answer is the one for a provider that is not configured.
        assert (caught.value.code, caught.value.description) == (InvalidTarget.code, InvalidTarget.description)


@pytest.mark.parametrize(
    ("granted", "allowed", "requested", "on_wider_grant", "can_narrow", "expected"),
    [
        # Where it can be narrowed, no more leaves than was asked for, or than grant and list share.
        ("repo user", "repo user", None, "refuse", True, None),
        ("repo user", "repo user gist", None, "refuse", True, None),
        ("repo user", "repo user", "repo user", "refuse", True, None),
        ("repo user", "repo user", "user", "refuse", True, "user"),
        ("repo user", "user gist", None, "refuse", True, "user"),
        ("repo user", "user", "user", "refuse", True, "user"),
        ("repo user", "user", "", "refuse", True, "user"),
        ("repo user", "user", None, "allow", True, "user"),
        ("repo user", "gist", None, "refuse", True, "no_scope_in_common"),
        ("repo user", "gist", None, "allow", True, "no_scope_in_common"),
        ("repo user", "", None, "refuse", True, "no_scope_in_common"),
        # What is not known is in no list.
        ("", "user", None, "refuse", True, "grant_unknown"),
        ("", "", None, "refuse", True, "grant_unknown"),
        ("", "user", None, "allow", True, None),
        # Where it cannot, the whole token leaves or none does.
        ("repo user", "repo user", "user", "refuse", False, None),
        ("repo user", "user", "user", "refuse", False, "wider_grant"),
        ("repo user", "user", None, "refuse", False, "wider_grant"),
        ("repo user", "user", None, "allow", False, None),
        ("repo user", "gist", None, "refuse", False, "wider_grant"),
        ("repo user", "gist", None, "allow", False, None),
        ("", "", None, "refuse", False, "grant_unknown"),
        ("", "", None, "allow", False, None),
    ],
)
def test_a7_what_the_token_that_leaves_is_to_carry(
    *,
    granted: str,
    allowed: str,
    requested: str | None,
    on_wider_grant: Literal["refuse", "allow"],
    can_narrow: bool,
    expected: str | None,
) -> None:
    """`expected` is what it is narrowed to, None for the stored token, or the reason of the refusal."""

    def decided() -> str | None:
        try:
            target = scopes_to_narrow_to(
                granted=Scopes.parse(granted),
                allowed=Scopes.parse(allowed),
                requested=None if requested is None else Scopes.parse(requested),
                on_wider_grant=on_wider_grant,
                can_narrow=can_narrow,
            )
        except InvalidScope as refusal:
            return refusal.reason
        return None if target is None else str(target)

    assert decided() == expected


@pytest.mark.parametrize("can_narrow", [True, False])
@pytest.mark.parametrize("granted", ["openid", "openid email", "openid read"])
@pytest.mark.parametrize(("of_app", "leaves"), [("never", False), ("unless_asked", True), ("always", True)])
def test_a7_what_vaultd_needs_itself_is_handed_to_nobody_whose_list_is_empty(
    *, can_narrow: bool, granted: str, of_app: Literal["never", "unless_asked", "always"], leaves: bool
) -> None:
    """An empty list means everything only where tokens do what was settled for the app."""
    rules = ScopeRules(own=Scopes(["openid", "email"]), along=frozenset({"read"}), of_app=of_app)

    def decided() -> Scopes | None:
        return scopes_to_narrow_to(
            granted=Scopes.parse(granted),
            allowed=Scopes(),
            requested=None,
            on_wider_grant="refuse",
            can_narrow=can_narrow,
            rules=rules,
        )

    if leaves:
        assert decided() is None
        return
    with pytest.raises(InvalidScope) as caught:
        decided()
    assert caught.value.reason == "no_scope_in_common"
