"""What an app and a browser bring into a consent, before it is believed."""

from __future__ import annotations

from typing import Any

import pytest

from vaultd.clients.config import ClientConfig
from vaultd.clients.registry import Client
from vaultd.connect import Wish
from vaultd.connect.flow import begun_with, callback_metadata, callback_scopes
from vaultd.errors import InvalidRequest, ProviderRefused, ProviderUnavailable, SettingsNeeded
from vaultd.providers.config import ProviderConfig
from vaultd.providers.registry import Provider
from vaultd.terms import ClientId, ProviderName

SHOP = {"pattern": "[a-z]{1,9}", "example": "mine", "description": "Your shop."}


def provider(**changes: Any) -> Provider:
    table = {
        "client_id": "vaultd",
        "token_endpoint_auth_method": "none",
        "authorization_endpoint": "https://{shop}.acme.example/authorize",
        "token_endpoint": "https://{shop}.acme.example/token",
        "connection_settings": {"shop": SHOP},
        "callback_metadata": {"realm_id": "realmId"},
        **changes,
    }
    return Provider(ProviderName("acme"), "Acme", ProviderConfig.model_validate(table))


def wish(**changes: Any) -> Wish:
    client = Client(ClientId("app"), ClientConfig.model_validate({"auth": "none"}))
    return Wish(client=client, provider="acme", redirect_uri="https://app.example.com", **changes)


class TestWhatTheAppBrings:
    def test_settings_are_taken_out_of_the_parameters(self) -> None:
        settings, params = begun_with(provider(), wish(params={"shop": "mine", "prompt": "login"}))
        assert (settings, params) == ({"shop": "mine"}, {"prompt": "login"})

    def test_a_link_may_hold_what_is_nothing_to_us(self) -> None:
        settings, params = begun_with(provider(), wish(settings={"shop": "mine", "utm_source": "mail", "scope": "x"}))
        assert (settings, params) == ({"shop": "mine"}, {})

    @pytest.mark.parametrize("name", ["redirect_uri", "scope", "state", "site"])
    def test_a_parameter_that_is_not_allowed(self, name: str) -> None:
        with pytest.raises(InvalidRequest, match=f"may not carry: {name}"):
            begun_with(provider(), wish(params={"shop": "mine", name: "x"}))

    @pytest.mark.parametrize("settings", [{}, {"shop": ""}, {"shop": "Mine"}, {"shop": "mine.evil"}])
    def test_c0_a_setting_that_is_missing_or_not_accepted(self, settings: dict[str, str]) -> None:
        for given in (wish(params=settings), wish(settings=settings)):
            with pytest.raises(SettingsNeeded):
                begun_with(provider(), given)


class TestWhatComesBesideTheCode:
    def test_an_identifier(self) -> None:
        found = callback_metadata(provider().config, {"realmId": "4620816365", "code": "c0de", "state": "s"})
        assert found == {"realm_id": "4620816365"}

    @pytest.mark.parametrize(
        "value", ["", " ", "..", "a/b", "a?b=c", "a#b", "a%2fb", "a.b", "a\n", "é", "x" * 129, "https://evil.com"]
    )
    def test_what_might_be_more_in_a_url(self, value: str) -> None:
        """It comes through the browser, and agents put it into the addresses they call."""
        with pytest.raises(ProviderRefused, match="lacks"):
            callback_metadata(provider().config, {"realmId": value})

    def test_nothing_where_it_is_looked_for(self) -> None:
        with pytest.raises(ProviderRefused):
            callback_metadata(provider().config, {"realm_id": "1"})

    def test_nothing_is_looked_for(self) -> None:
        assert callback_metadata(provider(callback_metadata={}).config, {"realmId": "1"}) == {}


def test_scopes_in_the_callback_that_cannot_be_read_are_a_failed_authorization() -> None:
    config = provider(callback_scope="scope").config
    with pytest.raises(ProviderUnavailable) as failed:
        callback_scopes(config, {"scope": "s" * 3000})
    assert failed.value.step == "authorize"
