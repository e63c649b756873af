"""What a provider's scopes mean: whatever is answered, nobody is asked twice for what they gave, and no list passed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.errors import InvalidScope
from vaultd.policy import check_covered, check_delivery, scopes_to_narrow_to
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.lint import entry_config
from vaultd.scopes import EXACT, Received, ScopeRules
from vaultd.terms import Scopes

NAMES = [f"s{number}" for number in range(8)]
ANY = st.frozensets(st.sampled_from(NAMES), max_size=6).map(Scopes)
SOME = st.frozensets(st.sampled_from(NAMES), min_size=1, max_size=6).map(Scopes)
WORDS = st.frozensets(
    st.sampled_from([*NAMES, *(f"long/{name}" for name in NAMES), *(f"https://x/{name}" for name in NAMES), "other"]),
    max_size=8,
).map(Scopes)


@st.composite
def rules(draw: st.DrawFn) -> ScopeRules:
    """Any provider's. A scope includes only later ones, though nothing rests on that."""
    implies = {name: draw(ANY) for name in draw(ANY)}
    return ScopeRules(
        aliases={name: (f"long/{name}",) for name in draw(ANY)},
        prefixes=("https://x/",) if draw(st.booleans()) else (),
        implies=implies,
        unlisted=draw(ANY),
        along=draw(ANY),
        own=draw(ANY),
        of_app=draw(st.booleans()),
    )


@st.composite
def normalised(draw: st.DrawFn, known: ScopeRules, asked: Scopes) -> Scopes:
    """How the provider tells that it granted all of it: in its spellings, without what others include, and more."""
    told = set(asked)
    for scope in sorted(asked):
        if draw(st.booleans()) and known.covers(told - {scope}, {scope}):
            told.discard(scope)
    told -= {scope for scope in known.unlisted if draw(st.booleans())}
    told |= known.along
    spelled = set()
    for scope in sorted(told):
        ways = [scope, *known.aliases.get(scope, ()), *(f"{prefix}{scope}" for prefix in known.prefixes)]
        spelled.add(draw(st.sampled_from(ways)))
    return Scopes(spelled)


@given(data=st.data())
def test_who_granted_what_was_asked_is_never_sent_to_consent_for_it_again(data: st.DataObject) -> None:
    known, asked = data.draw(rules()), data.draw(SOME)
    received = known.received(asked, data.draw(normalised(known, asked)))
    assert not received.unclear
    requested = data.draw(st.sampled_from(sorted(asked)).map(lambda scope: Scopes({scope})))
    assert known.covers(received.granted, asked)
    assert check_covered(
        granted=received.granted,
        unclear=received.unclear,
        requested=requested,
        on_wider_grant="refuse",
        rules=known,
    )


@given(data=st.data())
def test_words_that_nobody_knows_do_not_send_them_to_consent_again_either(data: st.DataObject) -> None:
    known, asked = data.draw(rules()), data.draw(SOME)
    received = known.received(asked, Scopes(f"urn:unknown:{scope}" for scope in asked))
    renewed = known.renewed(received, received.granted)
    for state in (received, renewed, known.renewed(renewed, None), known.renewed(renewed, Scopes())):
        if not known.covers(state.granted, asked):
            with pytest.raises(InvalidScope, match="known words"):
                check_covered(
                    granted=state.granted, unclear=state.unclear, requested=asked, on_wider_grant="refuse", rules=known
                )
        assert check_covered(
            granted=state.granted, unclear=state.unclear, requested=asked, on_wider_grant="allow", rules=known
        )


@given(known=rules(), asked=ANY, answered=WORDS, refreshed=WORDS, allowed=ANY, can_narrow=st.booleans())
def test_a7_no_scope_leaves_that_the_list_does_not_cover(
    *, known: ScopeRules, asked: Scopes, answered: Scopes, refreshed: Scopes, allowed: Scopes, can_narrow: bool
) -> None:
    """The stored token, by whatever answers it came; and the narrowed one, by whatever its own answer says."""
    state = known.renewed(known.received(asked, answered), refreshed)
    try:
        narrower = scopes_to_narrow_to(
            granted=state.granted,
            allowed=allowed,
            requested=None,
            on_wider_grant="refuse",
            can_narrow=can_narrow,
            rules=known,
        )
        leaves = state.granted if narrower is None else known.received(narrower, answered).granted
        check_delivery(granted=leaves, allowed=allowed, on_wider_grant="refuse", rules=known)
    except InvalidScope:
        return
    harmless = Scopes({*known.along, *known.own})
    for scope in leaves:
        assert known.covers(allowed, {scope}) or known.covers(harmless, {scope}) or scope in harmless
    assert leaves or (known.of_app and not allowed), "what is not known is in no list"


@given(granted=ANY, requested=ANY)
def test_of_a_provider_without_data_scopes_are_what_they_are_called(granted: Scopes, requested: Scopes) -> None:
    assert EXACT.missing(granted, requested) == requested - granted
    assert EXACT.beyond(granted, requested) == granted - requested
    assert EXACT.common(granted, requested) == granted & requested


@pytest.mark.parametrize("answered", [None, Scopes()])
def test_silence_and_an_empty_scope_mean_what_was_asked(answered: Scopes | None) -> None:
    """RFC 6749 §5.1 and §6; §3.3 has no empty scope."""
    asked = Scopes({"read"})
    assert EXACT.received(asked, answered) == Received(asked)
    assert EXACT.renewed(Received(asked, Scopes({"write"})), answered) == Received(asked, Scopes({"write"}))


def test_b6_who_granted_less_is_told_so() -> None:
    received = EXACT.received(Scopes({"read", "write"}), Scopes({"read"}))
    assert received == Received(Scopes({"read"}))
    assert not check_covered(
        granted=received.granted, unclear=received.unclear, requested=Scopes({"write"}), on_wider_grant="refuse"
    )


def test_inclusion_goes_through_any_number_of_steps_and_around_in_circles() -> None:
    known = ScopeRules(implies={"a": ["b"], "b": ["c"], "c": ["a", "d"]}, aliases={"d": ("dd",)})
    assert known.covers({"a"}, {"b", "c", "d", "dd"})
    assert known.lies_within({"dd"}, {"b"})
    assert not known.covers({"d"}, {"c"})


def test_the_catalogues_defaults_come_back_in_the_words_of_their_providers() -> None:
    answers = {
        "google": "openid https://www.googleapis.com/auth/userinfo.email"
        " https://www.googleapis.com/auth/userinfo.profile",
        "microsoft": "User.Read",
        "linear": "read",
        "github": "user",
    }
    for name, table in load_catalogue().items():
        config = entry_config(table)
        asked = Scopes({*config.scopes, *config.scope_rules.own})
        received = config.scope_rules.received(asked, Scopes.parse(answers.get(name, str(asked))))
        assert config.scope_rules.covers(received.granted, asked), name
        assert not received.unclear, name
