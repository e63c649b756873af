"""The catalogue of well-known providers, and what an operator's table makes of its entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaultd.errors import ConfigurationError
from vaultd.providers.catalogue import load_catalogue, merge_entry
from vaultd.providers.config import ProviderConfig
from vaultd.terms import Secret

ACME = {
    "display_name": "Acme",
    "authorization_endpoint": "https://acme.example/authorize",
    "token_endpoint": "https://acme.example/token",
    "revocation_endpoint": "https://acme.example/revoke",
    "scopes": ["read"],
}


def test_entries_are_read_by_their_files_names(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text('display_name = "Acmé"', encoding="utf-8")
    (tmp_path / "README.md").write_text("not an entry")
    assert load_catalogue(tmp_path) == {"acme": {"display_name": "Acmé"}}


def test_the_shipped_entries_are_whole() -> None:
    own = {"client_id": "app", "client_secret": Secret("s")}
    for name, entry in load_catalogue().items():
        ProviderConfig.model_validate(merge_entry(name, own, {name: entry}))


@pytest.mark.parametrize("text", ["= 1", 'client_secret = "x"', 'client_id = "x"'])
def test_an_entry_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"acme\.toml"):
        load_catalogue(tmp_path)


def test_a_table_is_laid_over_the_entry_of_its_name() -> None:
    merged = merge_entry("acme", {"client_id": "app", "scopes": ["write"]}, {"acme": ACME})
    assert merged == {**ACME, "client_id": "app", "scopes": ["write"]}


def test_a_second_app_of_the_same_provider() -> None:
    merged = merge_entry("acme-work", {"client_id": "app", "extends": "acme"}, {"acme": ACME})
    assert merged == {**ACME, "client_id": "app", "extends": "acme"}


def test_own_endpoints_replace_the_entry_whole() -> None:
    table = {"client_id": "app", "token_endpoint": "https://own.example/token"}
    assert merge_entry("acme", table, {"acme": ACME}) == table


def test_own_endpoints_beside_extends_are_laid_over_it() -> None:
    table = {"extends": "acme", "token_endpoint": "https://acme.own.example/token"}
    assert merge_entry("acme", table, {"acme": ACME}) == {**ACME, **table}


def test_a_provider_that_is_in_no_catalogue() -> None:
    assert merge_entry("other", {"client_id": "app"}, {"acme": ACME}) == {"client_id": "app"}


@pytest.mark.parametrize("extends", ["acmee", "", 7, ["acme"]])
def test_extends_names_no_entry(extends: object) -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.mine"):
        merge_entry("mine", {"extends": extends}, {"acme": ACME})
