"""The catalogue of well-known providers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vaultd.errors import ConfigurationError
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.lint import REQUIRED, main, problems


def test_entries_are_read_by_their_files_names(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text('display_name = "Acmé"', encoding="utf-8")
    (tmp_path / "README.md").write_text("not an entry")
    assert load_catalogue(tmp_path) == {"acme": {"display_name": "Acmé"}}


@pytest.mark.parametrize("name", sorted(load_catalogue()))
def test_a_shipped_entry_is_whole(name: str) -> None:
    """Issue 5 §1: a schema validates every file, and every entry says where its values are from."""
    assert list(problems(name, load_catalogue()[name])) == []


@pytest.mark.parametrize("text", ["= 1", 'client_secret = "x"', 'client_id = "x"'])
def test_an_entry_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"acme\.toml"):
        load_catalogue(tmp_path)


WHOLE: dict[str, Any] = {
    "display_name": "Acme",
    "verified": "docs",
    "verified_on": "2026-01-31",
    "sources": ["https://docs.acme.example/oauth"],
    "app_docs": "https://docs.acme.example/apps",
    "authorization_endpoint": "https://{shop}.acme.example/authorize",
    "token_endpoint": "https://{shop}.acme.example/token",
    "userinfo_endpoint": "https://{shop}.acme.example/me",
    "connection_settings": {"shop": {"pattern": "[a-z]{1,20}", "example": "mine", "description": "Your shop."}},
    "grant_for": "member",
    "account_id_field": ["setting:shop", "sub"],
    "pkce": True,
    "expires": True,
    "rotation": "never",
    "refusals": "unknown",
    "revocation": "none",
    "scopes": ["read"],
    "scope_descriptions": {"read": "Read everything"},
}


class TestWholeEntries:
    def test_a_whole_one(self) -> None:
        assert list(problems("acme", WHOLE)) == []

    @pytest.mark.parametrize("key", REQUIRED)
    def test_what_must_be_said(self, key: str) -> None:
        assert f"{key} is missing" in list(problems("acme", {name: WHOLE[name] for name in WHOLE if name != key}))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"clientid": "x"}, "clientid: Extra inputs are not permitted"),
            ({"verified": "guessed"}, "verified: Input should be 'docs' or 'unverified'"),
            ({"verified_on": None}, 'verified_on is missing beside verified = "docs"'),
            ({"verified_on": "yesterday"}, "verified_on: Value error, is not a day; write one like 2026-01-31"),
            ({"app_docs": None}, 'app_docs is missing beside verified = "docs"'),
            ({"sources": []}, "sources is empty"),
            (
                {"refusals": [{"means": "dead", "status": [400], "page": "https://docs.acme.example/errors"}]},
                "a refusal has no page, or not the day on which it was seen there",
            ),
            ({"sources": ["http://127.0.0.1/"]}, "an address of its documentation is not https"),
            ({"scopes": ["read", "write"]}, "scope_descriptions lacks write"),
            ({"allow_private_hosts": ["10.0.0.1"]}, "it decides what is the operator's: allow_private_hosts, fixed"),
            ({"userinfo_endpoint": None}, "nothing says whose account it is; userinfo_endpoint is missing, or anoth"),
            ({"revocation": "rfc7009"}, 'revocation has no revocation_endpoint; or it is revocation = "none"'),
            ({"account_id_field": "sub"}, "account_id_field does not name setting:shop, so that one id may be two"),
            ({"account_id_field": ["setting:shop", "email"]}, "account_id_field names email, which an account's owner"),
            ({"account_id_field": ["setting:shop", "userinfo:user.login"]}, "account_id_field names userinfo:user.l"),
            ({"refresh_adds_scopes": ["offline"]}, "refresh_adds_scopes has no effect beside refresh_sends_scopes = f"),
            ({"rotation_grace": 60}, 'rotation_grace has no effect beside rotation = "never"'),
            ({"revocation_hint": False}, 'revocation_hint has no effect beside revocation = "none"'),
            ({"revocation_ends": "token"}, 'revocation_ends has no effect beside revocation = "none"'),
            (
                {"id_token_issuers": ["https://acme.example"]},
                "id_token_issuers has no effect beside an account_id_field",
            ),
            ({"grant_for": "town"}, "grant_for: Input should be 'person', 'member'"),
            ({"rotation": None}, "rotation is missing, though its tokens end and are refreshed"),
            (
                {"authorization_endpoint": "https://acme.example/a", "token_endpoint": "https://acme.example/t"},
                "connection_settings.shop is used in neither authorization_endpoint nor token_endpoint",
            ),
        ],
    )
    def test_what_is_wrong(self, change: dict[str, Any], told: str) -> None:
        (problem,) = problems("acme", WHOLE | change)
        assert problem.startswith(told)

    def test_a_name_for_a_url(self) -> None:
        assert "its file's name is not" in next(problems("Acme_2", WHOLE))

    def test_the_report(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "acme.toml").write_text('display_name = "Acme"')
        assert main(tmp_path) == 1
        assert "acme.toml: sources is missing\n" in capsys.readouterr().out
