"""What a provider's scopes mean: whatever is answered, nobody is asked twice for what they gave, and no list passed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.errors import InvalidScope
from vaultd.policy import check_covered, check_delivery, scopes_to_narrow_to
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.config import ProviderConfig
from vaultd.providers.lint import entry_config
from vaultd.scopes import EXACT, Received, ScopeRules
from vaultd.terms import Scopes

NAMES = [f"s{number}" for number in range(8)]
ANY = st.frozensets(st.sampled_from(NAMES), max_size=6).map(Scopes)
SOME = st.frozensets(st.sampled_from(NAMES), min_size=1, max_size=6).map(Scopes)
WORDS = st.frozensets(
    st.sampled_from(
        [
            *NAMES,
            *(f"long/{name}" for name in NAMES),
            *(f"https://x/{name}" for name in NAMES),
            *(name.upper() for name in NAMES),
            *("wide:s0", "wide:s1", "other", "s0.all"),
        ]
    ),
    max_size=8,
).map(Scopes)
CONFIGS: dict[str, ProviderConfig] = {name: entry_config(table) for name, table in load_catalogue().items()}


@st.composite
def rules(draw: st.DrawFn) -> ScopeRules:
    """Any provider's."""
    implies = {name: draw(ANY) for name in draw(ANY)}
    if draw(st.booleans()):
        implies["wide:*"] = Scopes({"*"})
    return ScopeRules(
        aliases={name: (f"long/{name}",) for name in draw(ANY)},
        prefixes=("https://x/",) if draw(st.booleans()) else (),
        ignore_case=draw(st.booleans()),
        implies=implies,
        unlisted=draw(ANY),
        along=draw(ANY),
        own=draw(ANY),
        generic=("*.all",) if draw(st.booleans()) else (),
        of_app=draw(st.sampled_from(["never", "unless_asked", "always"])),
    )


@st.composite
def told_in_full(draw: st.DrawFn, known: ScopeRules, asked: Scopes) -> Scopes:
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
        spelling = draw(st.sampled_from(ways))
        spelled.add(spelling.upper() if known.ignore_case and "/" not in spelling else spelling)
    return Scopes(spelled)


@given(data=st.data())
def test_who_granted_what_was_asked_is_never_sent_to_consent_for_it_again(data: st.DataObject) -> None:
    known, asked = data.draw(rules()), data.draw(SOME)
    answers = st.one_of(told_in_full(known, asked), st.sampled_from([None, Scopes()]))
    received = known.received(asked, data.draw(answers))
    # Where asking has no effect, silence says nothing.
    if known.of_app == "always" and not received.granted:
        is_told_that_nobody_can_say(received, known, asked)
        return
    assert not received.unclear
    requested = data.draw(st.sampled_from(sorted(asked)).map(lambda scope: Scopes({scope})))
    for state in (received, known.renewed(received, data.draw(told_in_full(known, asked)))):
        assert known.covers(state.granted, asked)
        assert check_covered(
            granted=state.granted, unclear=state.unclear, requested=requested, on_wider_grant="refuse", rules=known
        )


def is_told_that_nobody_can_say(state: Received, known: ScopeRules, asked: Scopes) -> None:
    with pytest.raises(InvalidScope, match="known words"):
        check_covered(
            granted=state.granted, unclear=state.unclear, requested=asked, on_wider_grant="refuse", rules=known
        )
    assert check_covered(
        granted=state.granted, unclear=state.unclear, requested=asked, on_wider_grant="allow", rules=known
    )


@given(data=st.data())
def test_words_that_nobody_knows_do_not_send_them_to_consent_again_either(data: st.DataObject) -> None:
    known, asked = data.draw(rules()), data.draw(SOME)
    received = known.received(asked, Scopes(f"urn:unknown:{scope}" for scope in asked))
    renewed = known.renewed(received, received.granted)
    for state in (received, renewed, known.renewed(renewed, None), known.renewed(renewed, Scopes())):
        if not known.covers(state.granted, asked):
            is_told_that_nobody_can_say(state, known, asked)


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
    uncounted = Scopes({*known.along, *known.own})
    for scope in leaves:
        # Not what they include: vaultd's own scope and one that comes along bring nothing else with them.
        assert known.covers(allowed, {scope}) or any(known.covers({scope}, {each}) for each in uncounted)
        assert not known.outside({scope}, {*allowed, *uncounted})
    assert leaves or (known.of_app != "never" and not allowed), "what is not known is in no list"
    assert narrower or not allowed or known.common(leaves, allowed), "nothing for the client, and yet a token"


@given(granted=ANY, requested=ANY)
def test_of_a_provider_without_data_scopes_are_what_they_are_called(granted: Scopes, requested: Scopes) -> None:
    assert EXACT.missing(granted, requested) == requested - granted
    assert EXACT.beyond(granted, requested) == granted - requested
    assert EXACT.outside(granted, requested) == granted - requested
    assert EXACT.common(granted, requested) == granted & requested


@given(known=rules(), granted=WORDS, allowed=WORDS)
def test_what_a_grant_and_a_list_share_lies_within_both(known: ScopeRules, granted: Scopes, allowed: Scopes) -> None:
    shared = known.common(granted, allowed)
    assert not known.outside(shared, granted)
    assert not known.outside(shared, allowed)


@pytest.mark.parametrize("answered", [None, Scopes()])
def test_silence_and_an_empty_scope_mean_what_was_asked(answered: Scopes | None) -> None:
    """RFC 6749 §5.1 and §6; §3.3 has no empty scope."""
    asked = Scopes({"read"})
    assert EXACT.received(asked, answered) == Received(asked)
    assert EXACT.renewed(Received(asked, Scopes({"write"})), answered) == Received(asked, Scopes({"write"}))


@pytest.mark.parametrize("answered", [None, Scopes()])
def test_where_asking_has_no_effect_silence_says_nothing(answered: Scopes | None) -> None:
    known = ScopeRules(of_app="always")
    assert known.received(Scopes({"read"}), answered) == Received(Scopes(), unclear=Scopes({"read"}))
    assert known.renewed(Received(Scopes({"read"})), answered) == Received(Scopes({"read"}))
    assert known.lies_within(Scopes(), ())
    assert not known.lies_within(Scopes(), {"read"})
    assert not known.lies_within({"read"}, ())
    assert ScopeRules(of_app="unless_asked").received(Scopes({"read"}), answered) == Received(Scopes({"read"}))


def test_b6_who_granted_less_is_told_so() -> None:
    received = EXACT.received(Scopes({"read", "write"}), Scopes({"read"}))
    assert received == Received(Scopes({"read"}), withheld=Scopes({"write"}))
    assert not check_covered(
        granted=received.granted, unclear=received.unclear, requested=Scopes({"write"}), on_wider_grant="refuse"
    )


def test_what_the_answer_proves_was_granted_though_it_does_not_say_so() -> None:
    asked = Scopes({"read", "offline_access"})
    assert EXACT.received(asked, Scopes({"read"}), shown=["offline_access", "openid"]) == Received(asked)


def test_case_means_nothing_in_what_stands_before_a_scope_and_in_another_spelling_either() -> None:
    known = ScopeRules(
        prefixes=("https://Graph.example/", "https://graph.example/beta/"),
        ignore_case=True,
        aliases={"https://graph.example/Mail.Read": ("MAIL",)},
        implies={"https://graph.example/*.All": ("*.Read",)},
    )
    one = ("mail.read", "Mail", "HTTPS://GRAPH.EXAMPLE/mail.read", "https://graph.example/Beta/Mail.Read")
    assert {known.name(scope) for scope in one} == {"mail.read"}
    assert known.covers({"mail.ALL"}, one)
    for other in ("https://other.example/mail.read", "https://graph.example/https://graph.example/mail.read"):
        assert known.outside({other}, one), other
    assert known.name("https://graph.example/") == "https://graph.example/", "a prefix alone is no scope without a name"


GENERIC = CONFIGS["microsoft"].scope_rules


def test_a_scope_that_stands_for_whatever_was_granted_is_asked_for_alone() -> None:
    assert GENERIC.again({".default"}, {"Mail.Read"}) == Scopes()
    assert GENERIC.again({"https://vault.azure.net/.default", "openid"}, {"Mail.Read"}) == Scopes()
    assert GENERIC.again({"Mail.Read"}, {"HTTPS://graph.microsoft.com/.DEFAULT", "User.Read"}) == Scopes({"User.Read"})
    assert not GENERIC.generic_among({"default", "x.default", "/.default", "https://vault.azure.net/.defaults"})


@pytest.mark.parametrize("answered", ["Mail.Read User.Read", "openid profile email"])
def test_what_stands_for_it_may_be_granted_and_bounds_nothing(answered: str) -> None:
    received = GENERIC.received(Scopes({".default"}), Scopes.parse(answered))
    assert received.unclear == Scopes({".default"})
    assert not received.withheld
    checked: dict[str, Any] = {"granted": received.granted, "unclear": received.unclear, "rules": GENERIC}
    assert check_covered(**checked, requested=Scopes({".default"}), on_wider_grant="allow")
    with pytest.raises(InvalidScope):
        check_covered(**checked, requested=Scopes({".default"}), on_wider_grant="refuse")
    assert not GENERIC.lies_within(Scopes({"Mail.Read"}), {".default"})
    assert GENERIC.outside({"Mail.Read"}, {".default"})


def test_inclusion_goes_through_any_number_of_steps_and_around_in_circles() -> None:
    known = ScopeRules(implies={"a": ["b"], "b": ["c"], "c": ["a", "d"]}, aliases={"d": ("dd",)})
    assert known.covers({"a"}, {"b", "c", "d", "dd"})
    assert known.lies_within({"dd"}, {"b"})
    assert not known.covers({"d"}, {"c"})


def test_a_pattern_includes_for_the_text_that_it_stands_for() -> None:
    known = ScopeRules(implies={"write_*": ["read_*"], "admin:*": ["write_*"], "read_*": ["write_*"]})
    assert known.covers({"admin:orders"}, {"write_orders", "read_orders"})
    assert not known.covers({"write_orders"}, {"read_products", "admin:orders", "write_"})
    assert not known.outside({"read_orders"}, {"admin:orders"})


def _documented() -> Iterator[tuple[str, str, str, str]]:
    """An entry, what is asked, how it is answered, and what a client may then ask for."""
    google = "https://www.googleapis.com/auth/userinfo."
    yield "google", "openid email profile", f"openid {google}email {google}profile", "openid email profile"
    yield "microsoft", "openid profile email offline_access User.Read", "User.Read", "offline_access openid User.Read"
    yield "microsoft", "mail.read offline_access", "https://graph.microsoft.com/Mail.Read", "Mail.Read mail.read"
    yield "linear", "issues:create", "read issues:create", "issues:create"
    yield "github", "repo public_repo user user:email gist", "repo,user,gist", "public_repo user:email gist"
    yield "github", "admin:org write:org read:org", "admin:org", "read:org"
    yield "shopify", "read_products write_products", "write_products", "read_products"
    yield "salesforce", "full refresh_token", "full offline_access", "api chatter_api visualforce refresh_token"
    yield "salesforce", "id api", "profile api", "id email chatter_api"
    yield "bitbucket", "repository account", "account repository:write", "repository"
    yield "pagerduty", "write", "openid write", "read write"
    yield "discord", "bot identify", "bot identify", "applications.commands"
    yield "strava", "activity:read activity:read_all", "activity:read_all", "activity:read"


@pytest.mark.parametrize(("name", "asked", "answered", "requested"), list(_documented()))
def test_what_providers_are_documented_to_answer_is_what_was_asked(
    name: str, asked: str, answered: str, requested: str
) -> None:
    known = CONFIGS[name].scope_rules
    received = known.received(Scopes.parse(asked), Scopes.parse(answered.replace(",", " ")))
    assert not received.unclear
    assert known.covers(received.granted, Scopes.parse(requested))


@pytest.mark.parametrize(
    ("name", "granted", "listed"),
    [
        ("github", "repo", "public_repo"),
        ("github", "write:packages", "read:packages"),
        ("linear", "read issues:create admin", "issues:create"),
        ("microsoft", "Mail.ReadWrite", "Mail.Read"),
        ("microsoft", "https://vault.azure.net/User.Read", "User.Read"),
        ("shopify", "write_products", "read_products"),
        ("salesforce", "full", "api web id"),
        ("bitbucket", "repository:admin", "repository repository:write"),
        ("google", "https://www.googleapis.com/auth/calendar", "https://www.googleapis.com/auth/calendar.readonly"),
        ("notion", "anything", ""),
    ],
)
def test_what_is_more_than_the_list_stays_more(name: str, granted: str, listed: str) -> None:
    assert not CONFIGS[name].scope_rules.lies_within(Scopes.parse(granted), Scopes.parse(listed))


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_the_catalogues_defaults_are_granted_when_they_are_answered(name: str) -> None:
    config = CONFIGS[name]
    asked = Scopes({*config.scopes, *config.scope_rules.own})
    received = config.scope_rules.received(asked, asked)
    assert config.scope_rules.covers(received.granted, asked)
    assert config.scope_rules.lies_within(received.granted, config.scopes)
    assert not received.unclear
