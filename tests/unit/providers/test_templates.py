"""Addresses with gaps (security C0): a client secret is never sent to a host that a user chose freely."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.providers.conftest import CLIENT_ID, SENT
from tests.unit.scripted_server import Names
from vaultd.errors import InvalidTarget, ProviderUnavailable, SettingsNeeded
from vaultd.outbound import Outbound
from vaultd.providers.config import ProviderConfig
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Provider, Providers
from vaultd.providers.templates import check_template, fill, gaps
from vaultd.sandbox.loopback import authorities
from vaultd.terms import Scopes, Secret

EVIL = [
    "",
    " ",
    ".",
    "..",
    "-",
    "evil.com/",
    "evil.com#",
    "evil.com?",
    "evil.com:443",
    "evil.com:443/",
    "evil.com\\",
    "/evil.com",
    "//evil.com/",
    "shop@evil",
    "shop@evil.com",
    "shop:pass@evil.com/",
    "shop%2eevil",
    "shop%2Fevil.com",
    "%65vil",
    "shop.",
    ".shop",
    "shop..evil",
    "shop\u3002evil",  # an ideographic full stop, which IDNA reads as a dot
    "shop\uff0eevil",
    "\uff53hop",  # a fullwidth letter, which NFKC makes an s
    "\u0455hop",  # a Cyrillic letter that looks like an s
    "shop\u200d",
    "SHOP",
    "Shop",
    "shop\n",
    "\nshop",
    "shop\r\nhost: evil.com",
    "shop\x00",
    "shop\t",
    "sh op",
    "shop;",
    "[::1]",
    "127.0.0.1:80",
    "-shop",
    "shop-",
    "shop_x",
    "{shop}",
    "{client_id}",
    "$(shop)",
    "a" * 64,
    "a" * 10_000,
]
SETTING = {"pattern": ".*", "example": "my-shop", "description": "Your shop."}
STRICT = SETTING | {"pattern": "[a-z0-9][a-z0-9-]{0,62}"}
"""The pattern that Shopify's entry has."""


def provider_at(setting: dict[str, Any], **changes: Any) -> Provider:
    table = {
        "client_id": CLIENT_ID,
        "client_secret": Secret("s"),
        "authorization_endpoint": "https://{shop}.myshopify.com/admin/oauth/authorize",
        "token_endpoint": "https://{shop}.myshopify.com/admin/oauth/access_token",
        "revocation_endpoint": "https://{shop}.myshopify.com/apps/{client_id}/revoke",
        "userinfo_endpoint": "https://api.myshopify.com/shops/{shop}/me",
        "lookup": {"endpoint": "https://{shop}.myshopify.com/places", "metadata": "places"},
        "connection_settings": {"shop": setting},
        **changes,
    }
    return Providers(configs={"acme": ProviderConfig.model_validate(table)}).get("acme")


class TestWhatMayFillAGap:
    @pytest.mark.parametrize("value", EVIL)
    @pytest.mark.parametrize("setting", [SETTING, STRICT], ids=["any pattern", "a strict pattern"])
    def test_c0_evil_values(self, value: str, setting: dict[str, Any]) -> None:
        """Also where the operator's pattern lets everything pass."""
        provider = provider_at(setting)
        with pytest.raises(SettingsNeeded):
            provider.settings_from({"shop": value})
        with pytest.raises(InvalidTarget):
            provider.at({"shop": value})

    @pytest.mark.parametrize("value", [*EVIL, "a/b", "a?b", "a#b", "a%2fb", "é"])
    def test_c0_evil_values_in_a_path(self, value: str) -> None:
        if value in {"SHOP", "Shop", "shop.", ".shop", "shop..evil", "-", "-shop", "shop-", "shop_x", "a" * 64}:
            assert fill("https://acme.example/{shop}/x", {"shop": value}) == f"https://acme.example/{value}/x"
            return
        with pytest.raises(ValueError, match="shop is missing, or has characters"):
            fill("https://acme.example/{shop}/x", {"shop": value})

    def test_a_dot_is_for_the_pattern_to_allow(self) -> None:
        """Below the fixed suffix, any depth of names is still the provider's."""
        with pytest.raises(SettingsNeeded):
            provider_at(STRICT).settings_from({"shop": "a.b"})
        filled = provider_at(SETTING).at(provider_at(SETTING).settings_from({"shop": "a.b"}))
        assert httpx.URL(filled.config.token_endpoint).host == "a.b.myshopify.com"

    def test_every_address_is_filled(self) -> None:
        config = provider_at(STRICT).at({"shop": "my-shop", "other": ["x"]}).config
        assert config.authorization_endpoint == "https://my-shop.myshopify.com/admin/oauth/authorize"
        assert config.token_endpoint == "https://my-shop.myshopify.com/admin/oauth/access_token"
        assert config.userinfo_endpoint == "https://api.myshopify.com/shops/my-shop/me"
        assert config.revocation_endpoint == "https://my-shop.myshopify.com/apps/{client_id}/revoke"
        assert config.lookup is not None
        assert config.lookup.endpoint == "https://my-shop.myshopify.com/places"

    @given(st.text(max_size=80))
    @settings(deadline=None, max_examples=1000)
    def test_c0_whatever_is_accepted_stays_below_the_suffix(self, value: str) -> None:
        """For another parser too: what is called is a host of the provider's, or nothing is."""
        try:
            config = provider_at(SETTING).at({"shop": value}).config
        except InvalidTarget:
            return
        called = httpx.URL(config.token_endpoint)
        assert (called.scheme, called.port, called.userinfo, called.fragment) == ("https", None, b"", "")
        assert called.host.endswith(".myshopify.com")
        assert called.raw_path == b"/admin/oauth/access_token"


class TestWhereAGapMayStand:
    @pytest.mark.parametrize(
        "template",
        [
            "https://{shop}",
            "https://{shop}/token",
            "https://{shop}.com/token",
            "https://{shop}com/token",
            "https://{shop}.acme.example{more}/token",
            "https://acme.{shop}/token",
            "https://acme.example:{shop}/token",
            "https://{shop}:443/token",
            "https://{shop}.com:443/token",
            "https://{shop}evil.example.com/token",
            "https://{shop}-acme.example.com/token",
            "{shop}://acme.example/token",
            "https://acme.example/token?shop={shop}",
            "https://{shop}.acme.example?x",
            "https://acme.example/{Shop}",
            "https://acme.example/{}",
            "https://acme.example/{shop",
            "https://acme.example/shop}",
            "https://acme.example/{shop.name}",
        ],
    )
    def test_c0_elsewhere(self, template: str) -> None:
        with pytest.raises(ValueError, match="gap"):
            check_template(template)

    @pytest.mark.parametrize(
        ("template", "filled"),
        [
            ("https://acme.example/token", "https://acme.example/token"),
            ("https://{shop}.acme.example/token", "https://x.acme.example/token"),
            ("https://acme-{shop}.acme.example:8443/token", "https://acme-x.acme.example:8443/token"),
            ("https://{tenant}.{region}.acme.example/", "https://x.x.acme.example/"),
            ("https://acme.example/{tenant}/token?v=2", "https://acme.example/x/token?v=2"),
        ],
    )
    def test_here(self, template: str, filled: str) -> None:
        assert check_template(template) == filled

    def test_names(self) -> None:
        assert gaps("https://{shop}.acme.example/{client_id}/{shop}") == {"shop", "client_id"}


class TestSettings:
    def test_what_the_operator_fixed_is_not_asked_for(self) -> None:
        provider = provider_at(STRICT, fixed_settings={"shop": "ours"})
        assert provider.settings_from({}) == {"shop": "ours"}
        assert provider.settings_from({"shop": "ours"}) == {"shop": "ours"}
        with pytest.raises(SettingsNeeded, match="shop is not accepted"):
            provider.settings_from({"shop": "theirs"})

    def test_a_default(self) -> None:
        provider = provider_at(STRICT | {"default": "everybodys"})
        assert provider.settings_from({}) == {"shop": "everybodys"}
        assert provider.settings_from({"shop": "mine"}) == {"shop": "mine"}

    def test_a_missing_one_is_named_with_an_example(self) -> None:
        with pytest.raises(SettingsNeeded) as caught:
            provider_at(STRICT).settings_from({"other": "x"})
        assert caught.value.description == "shop is missing. It looks like this: my-shop."

    def test_a_connection_stays_where_it_was_made(self) -> None:
        """A token is not sent to another place because the operator has fixed another one since."""
        provider = provider_at(STRICT, fixed_settings={"shop": "new"})
        assert provider.at({"shop": "old"}).config.token_endpoint.startswith("https://old.myshopify.com/")

    def test_a_value_that_the_pattern_no_longer_allows(self) -> None:
        with pytest.raises(InvalidTarget) as caught:
            provider_at(STRICT).at({"shop": "a.b"})
        assert caught.value.reason == "connection_settings"

    def test_a_provider_without_settings_is_itself(self) -> None:
        provider = provider_at(
            STRICT,
            connection_settings={},
            authorization_endpoint="https://acme.example/a",
            token_endpoint="https://acme.example/t",
            revocation_endpoint=None,
            userinfo_endpoint=None,
            lookup=None,
        )
        assert provider.at({"shop": "x"}) is provider


async def test_c0_nothing_is_sent_while_a_gap_is_open() -> None:
    names = Names(["203.0.113.1"])
    outbound = Outbound(ssl_context=authorities(), resolve=names)
    oauth = OAuthClient(outbound=outbound)
    provider = provider_at(STRICT)
    with pytest.raises(ProviderUnavailable, match="gap"):
        await oauth.refresh(provider, refresh_token=SENT)
    with pytest.raises(ProviderUnavailable, match="gap"):
        oauth.authorization_url(
            provider, redirect_uri="https://v.example", state="s", scopes=Scopes(), code_challenge="c", extra={}
        )
    assert names.asked == []
    await outbound.aclose()
