"""Every configuration that README, docs and examples show is connected and used, at providers as strict as real ones.

The files are walked. A snippet that names a provider whose demands are not written down here fails, so that nobody adds
one without looking them up.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DatabaseUrls
from tests.doubles.strict import StrictProvider
from tests.wire.town import Town, provider_table, town
from vaultd.clients.config import ProviderGrant
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.lint import entry_config
from vaultd.sandbox.behaviours import GITHUB, GOOGLE
from vaultd.sandbox.demands import Demands
from vaultd.sandbox.world import World

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOT_OURS = {"node_modules", ".venv"}

DEMANDS: dict[str, Demands] = {
    "google": GOOGLE.demands,
    "github": GITHUB.demands,
    "github-app": Demands(no_scopes=True, words=lambda _: ""),
}
"""What the real ones want, by docs/provider-facts.md; not taken from the entries, which are what is tried."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A client's list for a provider of the catalogue, as some document has it."""

    where: str
    name: str
    entry: str
    table: Mapping[str, Any]
    grant: Any

    @property
    def listed(self) -> frozenset[str]:
        return frozenset(ProviderGrant.model_validate(self.grant).scopes)


def documents() -> Iterator[tuple[str, str]]:
    """Every TOML text that is shown to operators, and where."""
    places = chain(ROOT.glob("*.md"), ROOT.glob("*.toml"), *((ROOT / at).rglob("*") for at in ("docs", "examples")))
    for path in sorted(places):
        if NOT_OURS & set(path.parts) or path.name == "pyproject.toml" or not path.is_file():
            continue
        if path.suffix == ".toml":
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        elif path.suffix in {".md", ".py", ".ts"}:
            for number, text in enumerate(FENCED.findall(path.read_text(encoding="utf-8"))):
                yield f"{path.relative_to(ROOT)} {number}", text


def shown() -> Iterator[Shown]:
    catalogue, number = load_catalogue(), count()
    for where, text in documents():
        document = tomllib.loads(text)
        providers = document.get("providers", {})
        for client, config in document.get("clients", {}).items():
            for provider, grant in config.get("providers", {}).items():
                table = providers.get(provider, {})
                entry = table.get("extends", provider)
                if entry in catalogue:
                    yield Shown(f"{where} {client} {provider}", f"{entry}-{next(number)}", entry, table, grant)


SHOWN = list(shown())


def test_the_configurations_are_found() -> None:
    files = {one.where.split()[0] for one in SHOWN}
    assert {"README.md", "vaultd.example.toml", "docs/guides/from-your-own-table.md"} <= files
    assert {one.entry for one in SHOWN} <= DEMANDS.keys(), "write down what the provider wants"


@pytest.fixture(scope="module")
def the_town(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    at = {one.name: StrictProvider(DEMANDS[one.entry]) for one in SHOWN}
    tables = {one.name: provider_table(one.entry, own=one.table) for one in SHOWN}
    lists = {one.name: {one.name: one.grant} for one in SHOWN}
    with town(world, module_database, tmp_path_factory.mktemp("shown"), tables=tables, lists=lists, at=at) as made:
        yield made


@pytest.mark.parametrize("one", SHOWN, ids=[one.where for one in SHOWN])
async def test_a_documented_configuration_connects_and_is_served(the_town: Town, one: Shown) -> None:
    provider = the_town.at[one.name]
    harmless = entry_config(load_catalogue()[one.entry]).scope_rules
    # So short a life that the first exchange has to renew it.
    provider.life = 30
    async with the_town.app(one.name) as app:
        await the_town.connected(app, one.name)
        provider.life = 3600
        body = await the_town.given(app, one.name, agent=one.name)
        assert body["expires_in"] > 3000, "renewed"
        assert not harmless.beyond(provider.scopes_of(body["access_token"]), one.listed)
        for scope in sorted(one.listed):
            answer = await the_town.asked(app, one.name, agent=one.name, scope=scope)
            if answer.status_code == 400 and answer.json()["error"] == "interaction_required":
                # The provider's usual scopes were asked for first; a consent for this one settles it.
                await the_town.connected(app, one.name, scopes=[scope])
                answer = await the_town.asked(app, one.name, agent=one.name, scope=scope)
            assert answer.status_code == 200, answer.text
            assert not harmless.beyond(provider.scopes_of(answer.json()["access_token"]), one.listed)
