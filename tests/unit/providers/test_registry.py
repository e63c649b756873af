"""The configured providers, by name and by resource."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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
        # Another host in DNS's eyes or in a browser's, or no absolute URI at all (RFC 3986 §4.3).
        "https://api.github.com./user",
        "https://api%2Egithub.com/user",
        "https://api\u3002github.com/user",
        "https://\uff41\uff50\uff49.github.com/user",
        "https://api.g\u0131thub.com/user",
        "https://api.git\thub.com/user",
        " https://api.github.com/user",
        "https://api.github.com/user\n",
        "https://api.github.com\\@evil.example",
        "https://api.github.com/a b",
        "https://api.github.com/é",
        "https:api.github.com/user",
        "https:///api.github.com/user",
        "//api.github.com/user",
        "https://api.github.com:0/user",
        "https://:443/user",
        "https://@api.github.com/user",
        "https://api.github.com/#",
        "wss://api.github.com/user",
        "https+unix://api.github.com/user",
        "urn:api.github.com",
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


def test_an_international_name_is_written_in_ascii() -> None:
    providers = Providers(configs={"books": table(resources=["https://xn--bcher-kva.example"])})
    assert providers.by_resource("https://XN--Bcher-KVA.example/shelf").name == "books"
    with pytest.raises(InvalidTarget):
        providers.by_resource("https://bücher.example/shelf")


def test_an_address_is_not_taken_apart_at_its_last_colon() -> None:
    providers = Providers(configs={"six": table(resources=["https://[2001:db8::1]:8443"])})
    assert providers.by_resource("https://[2001:DB8::1]:8443/x").name == "six"
    for other in ("https://[2001:db8::1:8443]/x", "https://[2001:db8::1]/x"):
        with pytest.raises(InvalidTarget):
            providers.by_resource(other)


ONLY_GITHUB = Providers(configs={"github": table(resources=["https://api.github.com"])})
SAID_OTHERWISE = st.tuples(
    st.sampled_from(["https", "HTTPS", "hTTps"]),
    st.lists(st.booleans(), min_size=14, max_size=14),
    st.sampled_from(["", ":", ":443", ":0443"]),
    st.from_regex(r"(/[A-Za-z0-9._~%-]{0,8}){0,3}(\?[a-z=&/?@:]{0,8})?", fullmatch=True),
)


@given(SAID_OTHERWISE)
@settings(deadline=None)
def test_the_same_origin_said_otherwise_is_the_same_target(said: tuple[str, list[bool], str, str]) -> None:
    """RFC 8707 §2 with RFC 6454 §5: case, a default port, path and query make no difference."""
    scheme, upper, port, rest = said
    host = "".join(c.upper() if up else c for c, up in zip("api.github.com", upper, strict=True))
    assert ONLY_GITHUB.by_resource(f"{scheme}://{host}{port}{rest}").name == "github"


NEAR = st.text(st.sampled_from([*"htps:/.apigubcom@#?[]\\%2443 ", "\uff41", "\u3002", "\t", "\u200d"]), max_size=40)


@given(st.one_of(NEAR, st.builds("https://api.github.com{}".format, NEAR), st.text(max_size=60)))
@example("https://api.github.com:443")
@settings(deadline=None, max_examples=500)
def test_what_resolves_has_that_origin_for_another_parser_too(url: str) -> None:
    """Whatever is sent, the answer is `invalid_target`, or the origin that an HTTP client would call."""
    with suppress(InvalidTarget):
        assert ONLY_GITHUB.by_resource(url).name == "github"
        called = httpx.URL(url)
        assert (called.scheme, called.host, called.port or 443) == ("https", "api.github.com", 443)


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"extends": "acme"}, True),
        ({"token_endpoint": "https://acme.example/token"}, True),
        ({"extends": "acme", "token_endpoint": "https://eu.acme.example/token"}, True),
        ({"extends": "acme", "client_id": "another"}, False),
        ({"extends": "acme", "client_id": "another", "app_pattern": "a[a-z]"}, False),
        ({"extends": "acme", "token_path": "authed_user"}, False),
        ({"token_endpoint": "https://other.example/token"}, False),
    ],
    ids=str,
)
def test_tables_of_one_app_have_their_grants_in_common(changes: dict[str, Any], *, shared: bool) -> None:
    both = Providers(configs={"acme": table(), "second": table(**changes)})
    for name in ("acme", "second"):
        names = {str(each.name) for each in both.of_one_app(both.get(name))}
        assert names == ({"acme", "second"} if shared else {name})


def test_an_app_may_have_several_client_ids() -> None:
    """As Google's projects have: what a user grants to one of them is granted to the whole app."""
    ids = {"web": "7-web.example", "phone": "7-phone.example", "other": "77-web.example", "odd": "no-number"}
    tables = {name: table(client_id=client_id, app_pattern="[0-9]+-") for name, client_id in ids.items()}
    both = Providers(configs=tables)
    shared = {name: {str(each.name) for each in both.of_one_app(both.get(name))} for name in ids}
    assert shared == {"web": {"web", "phone"}, "phone": {"web", "phone"}, "other": {"other"}, "odd": {"odd"}}
