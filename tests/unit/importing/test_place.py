"""`vaultd import`: the settings and the metadata of a line, checked against the provider's table."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from tests.unit.importing.lines import CANARY, NOW, line, reader
from tests.unit.importing.test_line import read, refused
from vaultd.connections.sealing import UNNAMED_ACCOUNT
from vaultd.importing.line import MOST_TOLD, LineRefused
from vaultd.importing.spool import Spool


def test_the_address_that_a_token_is_for_is_kept_with_it() -> None:
    found = read(line(provider="tickets", settings={"site": "acme"})).imported
    assert found.settings == {"site": "acme", "zone": "main"}
    assert found.opened().metadata == {"site": "acme", "zone": "main"}
    other = read(line(provider="tickets", settings={"site": "acme", "zone": "eu"})).imported
    assert other.settings == {"site": "acme", "zone": "eu"}


def test_what_the_redirect_would_have_brought_names_the_account() -> None:
    found = read(line(provider="books", metadata={"realm_id": 1234567, "region": "eu"})).imported
    assert (found.account_id, found.metadata) == ("1234567", {"realm_id": "1234567", "region": "eu"})
    labelled = read(line(provider="books", metadata={"realm_id": "1"}, account={"id": "1", "label": "Acme"})).imported
    assert (labelled.account_id, labelled.account_label) == ("1", "Acme")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"workspace_id": "W", "owner_id": "U"}, "W:U"),
        ({"workspace_id": "W", "owner_id": "U", "bot_id": "B"}, "W:U"),
        # Consent would take the person's, if there is one; whether there is, the line does not say.
        ({"workspace_id": "W", "bot_id": "B"}, UNNAMED_ACCOUNT),
        ({"workspace_id": "a:b", "owner_id": "c%"}, "a%3Ab:c%25"),
        ({"workspace_id": "W"}, UNNAMED_ACCOUNT),
        ({}, UNNAMED_ACCOUNT),
    ],
)
def test_an_account_of_several_parts_is_known_if_all_are(metadata: dict[str, str], expected: str) -> None:
    assert read(line(provider="notes", metadata=metadata)).imported.account_id == expected


@pytest.mark.parametrize(
    ("account_id", "told"),
    [
        ("W:U", None),
        ("W:B", None),
        ("V:U", "account has an id that is not of the place in settings or metadata; mend one of them"),
        ("W:a:b", "a colon or % within one as %3A or %25"),
        ("W:a%b", "a colon or % within one as %3A or %25"),
        ("W:a%3Ab%25", None),
    ],
)
def test_a_given_id_is_of_the_place_that_the_line_names_and_written_as_consent_writes_it(
    account_id: str, told: str | None
) -> None:
    given = line(provider="notes", metadata={"workspace_id": "W", "bot_id": "B"}, account={"id": account_id})
    if told is None:
        assert read(given).imported.account_id == account_id
    else:
        assert refused(given).endswith(told)


@pytest.mark.parametrize("places", [[{"id": "1", "name": "One"}], [{"id": "1"}], ["1"], [1]])
def test_places_are_a_list_as_the_lookup_gives_it(places: list[Any]) -> None:
    found = read(line(provider="sites", metadata={"sites": places})).imported
    name = "One" if isinstance(places[0], dict) and "name" in places[0] else "1"
    assert found.metadata == {"sites": [{"id": "1", "name": name}]}


def test_null_is_a_missing_key() -> None:
    found = read(line(provider="books", metadata={"realm_id": "1", "region": None})).imported
    assert found.metadata == {"realm_id": "1"}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"provider": "tickets"}, 'settings lacks site, which each connection needs; write "site": "acme" or what it is'),
    ({"provider": "tickets", "settings": {"zone": "eu"}}, "settings lacks site"),
    ({"provider": "tickets", "settings": {"site": ""}}, "settings lacks site"),
    (
        {"provider": "tickets", "settings": {"site": "EVIL.com/"}},
        "settings are not accepted: site is not accepted. It looks like this: acme.",
    ),
    ({"provider": "tickets", "settings": {"site": CANARY}}, "settings are not accepted: site is not accepted."),
    ({"provider": "tickets", "settings": {"sit": "acme"}}, 'settings has the key "sit", which this provider does not'),
    ({"provider": "tickets", "settings": {"sit": "acme"}}, 'did you mean "site"?'),
    ({"provider": "tickets", "settings": {f"{CANARY}": "acme"}}, "settings has a key, which this provider does not"),
    ({"provider": "tickets", "settings": {"site": 7}}, "settings is no object of texts"),
    ({"provider": "tickets", "settings": "acme"}, 'settings is no object of texts; write one like {"site": "acme"}'),
    ({"settings": "acme"}, "settings is no object of texts; this provider has none, so leave it out"),
    (
        {"provider": "tickets", "settings": {"site": "a" * 300}},
        "site is missing, or has characters that do not",
    ),
    ({"settings": {"site": "acme"}}, 'settings has the key "site", and this provider has none; leave it out'),
    ({"provider": "shopify", "settings": {"shop": "another"}}, "settings are not accepted: shop is not accepted."),
    ({"provider": "books"}, "metadata lacks realm_id, which the tokens are of no use without; write it"),
    ({"provider": "books", "metadata": {"region": "eu"}}, "metadata lacks realm_id"),
    ({"provider": "books", "metadata": {"realm_id": None}}, "metadata lacks realm_id"),
    ({"provider": "books", "metadata": {"realm_id": "../1"}}, "metadata has a realm_id that is no identifier"),
    ({"provider": "books", "metadata": {"realm_id": True}}, "metadata has a realm_id that is no identifier"),
    ({"provider": "books", "metadata": {"realm_id": "1", "region": {}}}, "metadata has a region that is no text of"),
    ({"provider": "books", "metadata": {"realm_id": "1", "region": "x" * 256}}, "metadata has a region that is no"),
    ({"provider": "books", "metadata": {"realm_id": "1", "region": "a\nb"}}, "metadata has a region that is no text"),
    (
        {"provider": "books", "metadata": {"realmId": "1"}},
        'metadata has the key "realmId", which this provider does not have; did you mean "realm_id"?',
    ),
    ({"provider": "books", "metadata": {f"x-{CANARY}": "1"}}, "metadata has a key, which this provider does not have"),
    ({"provider": "books", "metadata": ["1"]}, 'metadata is no object; write one like {"realm_id": "…"}'),
    ({"provider": "notes", "metadata": ["1"]}, 'metadata is no object; write one like {"workspace_id": "…"}'),
    (
        {"provider": "tickets", "settings": {"site": "acme"}, "metadata": {"site": "other"}},
        'metadata has the key "site", which is one of settings; write it there',
    ),
    ({"provider": "sites", "metadata": {"sites": "1"}}, "metadata has a sites that is no list of places"),
    ({"provider": "sites", "metadata": {"sites": [{"name": "One"}]}}, "metadata has a sites that is no list of places"),
    ({"provider": "sites", "metadata": {"sites": [{"id": "1", "token": CANARY}]}}, "metadata has a sites that is no"),
    ({"provider": "sites", "metadata": {"sites": ["1"] * 101}}, "metadata has a sites that is no list of places"),
    ({"provider": "sites", "metadata": {"sites": ["x" * 200] * 100}}, "metadata is longer than 16384 bytes"),
    (
        {"provider": "books", "metadata": {"realm_id": "1"}, "account": {"id": f"2-{CANARY}"}},
        "account has an id, which redirect:realmId in settings or metadata decides; leave it out",
    ),
    (
        {"provider": "notes", "account": {"id": "W"}},
        "account has an id that is not made of workspace.id:owner.id or bot.id; write all of its parts",
    ),
    *(
        ({"provider": "notes", "account": {"id": given}}, "account has an id that is not made of workspace.id:")
        for given in (":", "W:", ":U", "W:U:X")
    ),
    (
        {"provider": "notes", "metadata": {"workspace_id": "W"}, "account": {"id": "X:U"}},
        "account has an id that is not of the place in settings or metadata",
    ),
]


@pytest.mark.parametrize(("changes", "told"), BAD, ids=[f"{number}" for number in range(len(BAD))])
def test_what_the_entry_does_not_have_or_lacks_is_the_line_s_mistake(changes: dict[str, Any], told: str) -> None:
    assert told in refused(line(**changes))


@pytest.mark.parametrize("metadata", [{}, {"workspace_id": "W"}, {"owner_id": "U"}])
def test_a_whole_id_of_several_parts_may_be_written(metadata: dict[str, str]) -> None:
    found = read(line(provider="notes", account={"id": "W:U"}, metadata=metadata)).imported
    assert (found.account_id, found.metadata) == ("W:U", metadata)


@pytest.mark.parametrize("where", ["settings", "metadata"])
def test_of_a_line_with_thousands_of_mistakes_a_few_are_told(where: str) -> None:
    many = {f"key_{number}": "x" for number in range(3000)}
    with pytest.raises(LineRefused) as caught:
        reader().read(line(provider="tickets", **{where: many}), number=1, now=NOW)
    assert len(caught.value.texts) == MOST_TOLD + 1
    assert caught.value.texts[-1].endswith(" more mistakes")


def test_both_pass_through_the_spool() -> None:
    whole = reader().read(line(provider="books", metadata={"realm_id": "1"}), number=1, now=NOW)
    with ExitStack() as stack:
        spool = stack.enter_context(Spool())
        spool.put(whole)
        assert list(spool.chunks(1)) == [[whole]]
