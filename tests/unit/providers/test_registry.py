"""The configured providers, by name and by resource."""

from __future__ import annotations

from typing import Any

import pytest

from vaultd.errors import InvalidTarget
from vaultd.providers.config import ProviderConfig
from vaultd.providers.registry import Providers
from vaultd.terms import Secret


def table(**changes: Any) -> ProviderConfig:
    return ProviderConfig.model_validate(
        {
            "client_id": "app",
            "client_secret": Secret("s"),
            "authorization_endpoint": "https://acme.example/authorize",
            "token_endpoint": "https://acme.example/token",
            **changes,
        }
    )


@pytest.fixture
def providers() -> Providers:
    return Providers(
        configs={
            "acme": table(resources=["https://api.acme.example", "https://acme.example/v1"]),
            "github": table(display_name="GitHub", resources=["https://api.github.com/"]),
            "silent": table(),
        }
    )


def test_by_name(providers: Providers) -> None:
    assert (providers.get("github").name, providers.get("github").display_name) == ("github", "GitHub")


def test_a_name_is_capitalised_where_no_display_name_is_given(providers: Providers) -> None:
    assert providers.get("acme").display_name == "Acme"


@pytest.mark.parametrize("name", ["gitlab", "", "GitHub", "github "])
def test_unknown_name(name: str, providers: Providers) -> None:
    with pytest.raises(InvalidTarget) as refused:
        providers.get(name)
    assert refused.value.description == InvalidTarget.description


def test_all_in_the_order_of_the_file(providers: Providers) -> None:
    assert [provider.name for provider in providers.all()] == ["acme", "github", "silent"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.acme.example", "acme"),
        ("https://api.acme.example/", "acme"),
        ("HTTPS://API.Acme.Example", "acme"),
        ("https://acme.example/v1", "acme"),
        ("https://api.github.com", "github"),
        ("https://api.github.com:443/user", "github"),
        ("https://api.github.com?x", "github"),
        ("https://acme.example/V1", "acme"),
    ],
)
def test_by_resource(url: str, name: str, providers: Providers) -> None:
    """RFC 8707 §2."""
    assert providers.by_resource(url).name == name


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.github.com",
        "http://api.github.com",
        "https://api.github.com:8443/user",
        "https://api.github.com/user#fragment",
        "https://api.github.com.evil.example",
        "https://api.github.com@evil.example",
        "https://api.github.com:99999/",
        "https://[",
    ],
)
def test_unknown_resource(url: str, providers: Providers) -> None:
    with pytest.raises(InvalidTarget) as refused:
        providers.by_resource(url)
    assert refused.value.description == InvalidTarget.description


def test_a_resource_of_two_apps_of_one_provider_means_the_provider_itself() -> None:
    shared = ["https://api.acme.example"]
    providers = Providers(configs={"second": table(resources=shared, extends="acme"), "acme": table(resources=shared)})
    assert providers.by_resource("https://api.acme.example").name == "acme"


def test_a_resource_of_two_unrelated_providers_means_none() -> None:
    shared = ["https://api.acme.example"]
    providers = Providers(configs={"one": table(resources=shared), "two": table(resources=shared)})
    with pytest.raises(InvalidTarget) as refused:
        providers.by_resource("https://api.acme.example")
    assert refused.value.reason == "ambiguous_resource"
