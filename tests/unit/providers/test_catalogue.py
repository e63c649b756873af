"""The catalogue of well-known providers."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaultd.errors import ConfigurationError
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.config import ProviderConfig
from vaultd.terms import Secret


def test_entries_are_read_by_their_files_names(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text('display_name = "Acmé"', encoding="utf-8")
    (tmp_path / "README.md").write_text("not an entry")
    assert load_catalogue(tmp_path) == {"acme": {"display_name": "Acmé"}}


def test_the_shipped_entries_are_whole() -> None:
    own = {"client_id": "app", "client_secret": Secret("s")}
    for entry in load_catalogue().values():
        ProviderConfig.model_validate({**entry, **own})


@pytest.mark.parametrize("text", ["= 1", 'client_secret = "x"', 'client_id = "x"'])
def test_an_entry_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"acme\.toml"):
        load_catalogue(tmp_path)
