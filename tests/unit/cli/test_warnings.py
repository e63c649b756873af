"""What `vaultd check` warns of: clients that need no secret, and secrets that protect nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.settings.a_file import ACME, ISSUER, MINIMAL, load_text
from vaultd.cli.warnings import warnings
from vaultd.providers.catalogue import load_catalogue

SECRET = 'auth = "client_secret_basic"\nsecret = "env:SECRET"'
ALLOWED = 'ip_allowlist = ["192.0.2.0/24"]'
BOUND = 'dpop = "required"\n'
WHOEVER = "whoever has a user's session token gets provider tokens"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vaultd.toml"


def told(file: Path, *clients: str, issuer: str = ISSUER) -> list[tuple[str, str]]:
    tables = "\n".join(f"[clients.{client}" for client in clients)
    return list(warnings(load_text(file, f"{MINIMAL}{issuer}{tables}\n")))


def test_every_client_that_needs_no_secret(file: Path) -> None:
    assert told(file, 'pub]\nauth = "none"') == [("client pub", f'auth = "none" without ip_allowlist: {WHOEVER}')]
    assert told(file, 'pub]\nauth = "none"\nimplicit = true') == [
        ("client pub", f"implicit without ip_allowlist: {WHOEVER}")
    ]
    assert told(file, f'pub]\nauth = "none"\n{ALLOWED}') == []
    assert told(file, f"agent]\n{SECRET}") == []


def test_a_stolen_token_that_is_bound_is_of_no_use(file: Path) -> None:
    assert told(file, 'pub]\nauth = "none"', issuer=ISSUER + BOUND) == []
    other = ISSUER.replace("issuers.app", "issuers.other").replace("login.", "other.")
    assert len(told(file, 'pub]\nauth = "none"', issuer=ISSUER + BOUND + other)) == 1


@pytest.mark.parametrize(
    ("public", "proven"),
    [
        ('subject_azp = ["agent"]', ""),
        ("", 'subject_azp = ["pub"]'),
        ('subject_azp = ["x", "web-app"]', 'subject_azp = ["web-app", "y"]'),
    ],
)
def test_a_secret_that_is_worth_nothing(file: Path, public: str, proven: str) -> None:
    """One name, and one of the two clients that it stands for asks for nothing. An allowlist does not mend that."""
    found = told(file, f'pub]\nauth = "none"\n{ALLOWED}\n{public}', f"agent]\n{SECRET}\n{proven}")
    ((what, text),) = found
    assert what == "client pub"
    assert text.endswith("the secret of agent is worth nothing")


def test_names_of_their_own(file: Path) -> None:
    public = f'pub]\nauth = "none"\n{ALLOWED}\nsubject_azp = ["web-app"]'
    assert told(file, public, f"agent]\n{SECRET}", f'other]\nauth = "none"\n{ALLOWED}') == []


def test_a_trusted_client_without_a_secret(file: Path) -> None:
    issuer = f'{ISSUER}trusted_clients = ["pub", "agent", "nobody"]\n'
    found = told(file, f'pub]\nauth = "none"\n{ALLOWED}', f"agent]\n{SECRET}", issuer=issuer)
    assert [what for what, _ in found] == ["client pub"]
    assert "is among trusted_clients of issuer app, and has no secret" in found[0][1]


PROVIDER = """
[providers.acme]
client_id = "app"
client_secret = "env:ACME"
authorization_endpoint = "https://acme.example/authorize"
token_endpoint = "https://acme.example/token"
token_endpoint_auth_method = "{method}"
"""


@pytest.mark.parametrize(
    ("method", "secret", "advised"),
    [
        ("client_secret_basic", "a+b/c=", "client_secret_basic_raw"),
        ("client_secret_basic", "with%percent", "client_secret_basic_raw"),
        ("client_secret_basic", "geheim-ü", "client_secret_post"),  # the raw way cannot write it
        ("client_secret_basic", "with\ttab", "client_secret_post"),
        ("client_secret_basic_raw", "a b", "client_secret_basic"),
        ("client_secret_basic", "plain-secret_1.2~3", None),
        ("client_secret_basic_raw", "plain-secret_1.2~3", None),
        ("client_secret_post", "a+b/c=", None),
        ("json", "a+b/c=", None),
    ],
)
def test_a_secret_that_the_two_ways_of_basic_write_differently(
    method: str, secret: str, advised: str | None, tmp_path: Path
) -> None:
    text = f"{MINIMAL}{ISSUER}{PROVIDER.format(method=method)}"
    settings = load_text(tmp_path / "vaultd.toml", text, ACME=secret)
    found = [said for what, said in warnings(settings) if what == "provider acme" and "form-encodes" in said]
    assert [said.rpartition("write ")[2] for said in found] == ([advised] if advised else [])
    assert secret not in str(found)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "names no accounts: each consent of a user takes the place of the one before, whosever account it was"),
        ('userinfo_endpoint = "https://acme.example/me"', None),
        ('callback_metadata = {realm = "realmId"}\naccount_id_field = "redirect:realmId"', None),
    ],
)
def test_accounts_that_nobody_can_tell_apart(keys: str, told: str | None, tmp_path: Path) -> None:
    text = f"{MINIMAL}{ISSUER}{PROVIDER.format(method='client_secret_post')}{keys}\n"
    found = [said for what, said in warnings(load_text(tmp_path / "f.toml", text, ACME="x")) if what == "provider acme"]
    assert found == ([told] if told else [])


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ('account_id_field = "id"', True),
        ('account_id_field = ["setting:site", "id"]', False),
        ('account_source = "token"\naccount_id_field = "site"', False),
        ('account_id_field = "id"\nfixed_settings = {site = "ours"}', False),
    ],
)
def test_one_id_at_two_places(keys: str, warned: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a column of the table
    table = PROVIDER.format(method="client_secret_post").replace(
        "https://acme.example/token", "https://acme.example/{site}"
    )
    setting = '\nconnection_settings.site = {pattern = "[a-z]+", example = "acme", description = "Your site."}\n'
    text = f'{MINIMAL}{ISSUER}{table}userinfo_endpoint = "https://acme.example/me"\n{keys}{setting}'
    found = [said for what, said in warnings(load_text(tmp_path / "f.toml", text, ACME="x")) if what == "provider acme"]
    assert [said.partition(":")[0] for said in found] == (
        ["its account_id_field does not name setting"] if warned else []
    )


def lists(file: Path, acme: str = "", **entries: str) -> list[tuple[str, str]]:
    """What is told of clients that have these entries for one provider."""
    clients = [f"{name}]\n{SECRET}\nproviders = {{acme = {entry}}}" for name, entry in entries.items()]
    found = told(file, *clients, issuer=f"{ISSUER}{ACME}{acme}\n")
    return [(what, text) for what, text in found if what.startswith("client ")]


def test_a_list_without_scopes_at_a_provider_that_has_some(file: Path) -> None:
    ((what, text),) = lists(file, agent="[]")
    assert what == "client agent"
    assert text.startswith("its list for acme is empty, and no grant lies within that; write the scopes that it needs")
    assert text.endswith('scopes_of_app = "always" in its table: until then every exchange is refused')
    assert lists(file, 'scopes_of_app = "always"', agent="[]") == []
    assert lists(file, 'scopes_of_app = "unless_asked"', agent="[]") == []
    assert lists(file, agent='{scopes = [], on_wider_grant = "allow"}') == []
    assert lists(file, agent='["read"]') == []


def test_a_list_with_scopes_at_a_provider_that_has_none(file: Path) -> None:
    ((_, text),) = lists(file, 'scopes_of_app = "always"', agent='["read"]')
    assert text == (
        "its list for acme has scopes, and tokens there have none; write acme = []:"
        " until then every exchange is refused"
    )
    assert lists(file, 'scopes_of_app = "always"\nscopes = ["read"]', agent='["read"]') == []


@pytest.mark.parametrize(
    ("acme", "other", "apart"),
    [
        ("", '["write"]', True),
        ("", '["read", "write"]', False),
        ("", '{scopes = ["write"], on_wider_grant = "allow"}', False),
        ('narrowing = "refresh"', '["write"]', False),
        ('scope_implies = {write = ["read"]}', '["write"]', False),
        ('scope_aliases = {read = ["long/read"]}', '["long/read"]', False),
        ('scopes_along = ["write"]', '["write"]', False),
    ],
)
def test_two_lists_of_which_no_grant_lies_within_both(file: Path, acme: str, other: str, *, apart: bool) -> None:
    found = lists(file, acme, agent='["read"]', other=other)
    assert bool(found) is apart
    if apart:
        ((what, text),) = found
        assert what == "client agent"
        assert text.startswith("neither its list for acme nor that of other includes the other")
        assert text.endswith('write one list for both, or on_wider_grant = "allow"')


@pytest.mark.parametrize(
    ("fields", "told_of"),
    [
        ('"email"', "email"),
        ('"data.user.login"', "data.user.login"),
        ('["team.id", ["user.username", "user.id"]]', "user.username"),
        ('"sub"', None),
        ('["team.id", "user.id"]', None),
        ('"login.login_id"', None),
    ],
)
def test_an_account_that_is_known_by_what_its_owner_can_change(file: Path, fields: str, told_of: str | None) -> None:
    text = f'{MINIMAL}{ISSUER}{ACME}userinfo_endpoint = "https://acme.example/me"\naccount_id_field = {fields}\n'
    found = [text for _, text in warnings(load_text(file, text)) if "account_id_field" in text]
    assert len(found) == (told_of is not None)
    assert all(one.startswith(f"its account_id_field names {told_of}, which people change") for one in found)


OWN_GOOGLE = """
[providers.google]
client_id = "app"
client_secret = "env:SECRET"
{extends}
authorization_endpoint = "https://accounts.example/authorize"
token_endpoint = "https://accounts.example/token"
userinfo_endpoint = "https://accounts.example/userinfo"
"""


def missed(file: Path, table: str) -> list[str]:
    return [text for _, text in warnings(load_text(file, MINIMAL + ISSUER + table)) if "of the catalogue's" in text]


def test_a_table_that_is_only_named_like_an_entry_is_told_what_it_goes_without(file: Path) -> None:
    (text,) = missed(file, OWN_GOOGLE.format(extends=""))
    assert text.startswith(
        "has an endpoint of its own, so nothing of the catalogue's google holds for it,"
        " such as identity_scopes, authorization_params, refusals, "
    )
    assert text.endswith('write extends = "google", and each endpoint that is elsewhere, or give it another name')
    assert missed(file, OWN_GOOGLE.format(extends='extends = "google"')) == []
    assert missed(file, OWN_GOOGLE.format(extends="").replace("google", "acme")) == []


def test_what_a_table_named_like_an_entry_says_as_the_entry_does_is_not_missed(file: Path) -> None:
    entry = {key: value for key, value in load_catalogue()["mailchimp"].items() if not isinstance(value, dict)}

    def own(table: dict[str, Any]) -> str:
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        lines += (
            'client_id = "app"\nclient_secret = "env:SECRET"\nuserinfo_metadata = {api_endpoint = "api_endpoint"}\n'
        )
        return f"[providers.mailchimp]\n{lines}"

    assert missed(file, own(entry)) == []
    assert len(missed(file, own({key: value for key, value in entry.items() if key != "scopes_of_app"}))) == 1


@pytest.mark.parametrize(
    ("entry", "told_of"),
    [
        ('["https://graph.microsoft.com/.default"]', "is https://graph.microsoft.com/.default, which is whatever was"),
        ('[".default", "openid"]', "is .default, which is whatever was granted, and bounds nothing"),
        ('{scopes = ["https://vault.azure.net/.default"], on_wider_grant = "allow"}', ""),
        ('{scopes = [".default", "Mail.Read"], on_wider_grant = "allow"}', "has .default beside Mail.Read, and the"),
        ('["Mail.Read"]', ""),
    ],
)
def test_a_list_that_bounds_nothing_and_one_that_cannot_be_asked_for(file: Path, entry: str, told_of: str) -> None:
    provider = '[providers.microsoft]\nclient_id = "app"\nclient_secret = "env:SECRET"\n'
    client = f"[clients.agent]\n{SECRET}\nproviders = {{microsoft = {entry}}}\n"
    found = [text for _, text in warnings(load_text(file, MINIMAL + ISSUER + provider + client))]
    assert len(found) == bool(told_of)
    assert all(told_of in text for text in found)
