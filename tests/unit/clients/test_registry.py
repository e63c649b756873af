"""Clients: authentication, and whom a subject token means (security A5, A8, A10)."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from tests.support.signing import Signer
from tests.unit.clients.world import US, clients_of, signed_by
from tests.unit.loopback_issuer import SetClock
from vaultd.clients.config import ClientConfig
from vaultd.clients.credentials import Method, PresentedCredentials
from vaultd.clients.registry import Clients, hash_secret
from vaultd.db import Database
from vaultd.errors import ConfigurationError, InvalidClient, SlowDown
from vaultd.jose import parse_jwt
from vaultd.terms import Secret

SECRET = Secret("a secret of more than 32 characters")
IP = "192.0.2.7"


def _config(**fields: Any) -> ClientConfig:
    return ClientConfig.model_validate({"auth": "client_secret_basic", "secret": SECRET, **fields})


def _public(**fields: Any) -> ClientConfig:
    return ClientConfig.model_validate({"auth": "none", **fields})


def _clients(**configs: ClientConfig) -> Clients:
    return clients_of(configs)


def _basic(client_id: str, secret: Secret = SECRET) -> PresentedCredentials:
    return PresentedCredentials("client_secret_basic", client_id, secret)


async def _refusal(clients: Clients, presented: PresentedCredentials, ip: str | None = IP) -> InvalidClient:
    with pytest.raises(InvalidClient) as caught:
        await clients.authenticate(presented, ip=ip)
    return caught.value


@pytest.mark.parametrize(
    "configured", [SECRET, Secret(hash_secret(SECRET)), Secret(hash_secret(SECRET).upper().replace("SHA", "sha"))]
)
async def test_a_secret_or_its_hash(configured: Secret) -> None:
    clients = _clients(agent=_config(secret=configured))
    assert (await clients.authenticate(_basic("agent"), ip=None)).id == "agent"
    assert (await _refusal(clients, _basic("agent", Secret(SECRET.reveal()[:-1])))).reason == "wrong_secret"
    assert (await _refusal(clients, _basic("agent", Secret("")))).reason == "wrong_secret"
    assert (await _refusal(clients, _basic("agent", Secret("\ud800")))).reason == "wrong_secret"
    # The hash is no password: who reads the configuration does not hold the secret.
    assert (await _refusal(clients, _basic("agent", Secret(hash_secret(SECRET))))).reason == "wrong_secret"


@pytest.mark.parametrize("configured", get_args(Method))
@pytest.mark.parametrize("presented", get_args(Method))
async def test_the_method_must_be_the_configured_one(configured: Method, presented: Method, database: Database) -> None:
    signer = Signer("agent", vault=US)
    kept: dict[str, dict[str, Any]] = {"none": {"secret": None}, "private_key_jwt": {"secret": None}}
    kept["private_key_jwt"]["jwks"] = signer.jwks()
    configs = {"agent": _config(auth=configured, **kept.get(configured, {}))}
    clients = clients_of(configs, signed=signed_by(configs, database=database))
    credentials = PresentedCredentials(presented, "agent", None if presented == "none" else SECRET)
    if presented == "private_key_jwt":
        assertion = parse_jwt(Secret(signer.assertion()))
        credentials = PresentedCredentials(presented, "agent", unverified_assertion=assertion)
    if configured == presented:
        await clients.authenticate(credentials, ip=IP)
    else:
        assert (await _refusal(clients, credentials)).reason == "wrong_method"


async def test_unknown_clients_and_wrong_secrets_answer_alike() -> None:
    """A8: told apart in the audit event only."""
    clients = _clients(agent=_config())
    unknown, wrong = (
        await _refusal(clients, _basic("nobody")),
        await _refusal(clients, _basic("agent", Secret("wrong"))),
    )
    assert (unknown.reason, wrong.reason) == ("unknown_client", "wrong_secret")
    assert (unknown.code, unknown.description, str(unknown)) == (wrong.code, wrong.description, str(wrong))
    assert clients.get("nobody") is None
    assert clients.get("agent") is not None


@pytest.mark.parametrize(
    ("ip", "allowed"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("unix", False),
        (None, False),
    ],
)
async def test_the_address_list(ip: str | None, allowed: bool) -> None:  # noqa: FBT001 - a parameter of the table
    clients = _clients(agent=_config(ip_allowlist=("192.0.2.0/24", "2001:db8::/32")))
    if allowed:
        await clients.authenticate(_basic("agent"), ip=ip)
    else:
        assert (await _refusal(clients, _basic("agent"), ip)).reason == "address_not_allowed"


async def test_failures_are_throttled_by_client_and_address() -> None:
    """A10; and known and unknown clients alike (A8)."""
    clock = SetClock()
    clients = clients_of({"agent": _config()}, clock=clock)
    for client_id in ("agent", "nobody"):
        for _ in range(10):
            await _refusal(clients, _basic(client_id, Secret("wrong")))
        with pytest.raises(SlowDown) as caught:
            await clients.authenticate(_basic(client_id), ip=IP)
        assert caught.value.retry_after == 5
    await clients.authenticate(_basic("agent"), ip="192.0.2.8")
    clock.move(seconds=5)
    for _ in range(50):
        await clients.authenticate(_basic("agent"), ip=IP)


def test_a_hash_that_is_none_is_refused_at_start() -> None:
    for text in ("sha256:", "sha256:abcd", "sha256:" + "g" * 64):
        # Built without the validator of the settings, which may refuse these first.
        config = ClientConfig.model_construct(**{**dict(_config()), "secret": Secret(text)})
        with pytest.raises(ConfigurationError):
            _clients(agent=config)


def test_whom_a_presenter_means() -> None:
    clients = _clients(
        first=_config(subject_azp=("web-app", "second")),
        second=_config(),
        third=_public(subject_azp=("web-app",)),
        nobody=_config(subject_azp=()),
    )
    meant = {name: clients.for_presenter(name) for name in ("web-app", "second", "first", "nobody", "", "x")}
    assert {name: client.id for name, client in meant.items() if client} == {"web-app": "first", "second": "second"}
    assert clients.for_presenter(None) is None


def test_the_implicit_client() -> None:
    clients = _clients(
        agent=_public(implicit=True, subject_azp=("web-app",), ip_allowlist=("192.0.2.0/24",)),
        declared=_public(subject_azp=("declared-app",)),
        confidential=_config(subject_azp=("secret-app",)),
        one=_public(implicit=True, subject_azp=("shared",)),
        two=_public(implicit=True, subject_azp=("shared",)),
    )
    assert clients.implicit_for("web-app", ip=IP).id == "agent"
    for presenter, ip, reason in (
        ("web-app", "198.51.100.1", "address_not_allowed"),
        ("web-app", None, "address_not_allowed"),
        ("agent", IP, "no_implicit_client"),
        ("declared-app", IP, "no_implicit_client"),
        ("secret-app", IP, "no_implicit_client"),
        ("shared", IP, "ambiguous_client"),
        ("x", IP, "no_implicit_client"),
        (None, IP, "no_implicit_client"),
    ):
        with pytest.raises(InvalidClient) as caught:
            clients.implicit_for(presenter, ip=ip)
        assert caught.value.reason == reason


def test_nothing_shows_the_secret() -> None:
    clients = _clients(agent=_config())
    assert SECRET.reveal() not in repr(clients.get("agent"))
    assert SECRET.reveal() not in repr(vars(clients))
