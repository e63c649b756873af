"""A5 and A6 from outside: an actor token counts only from the client that it was issued to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
import pytest_asyncio

from tests.support.also import also_serving
from tests.wire.vault import ACCESS_TOKEN, App, Vault, fresh, request_id
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.world import World

SECRET = "a secret of the client whose agents have clients of their own"
CLIENTS: Mapping[str, str] = {
    "robots": f'subject_azp = ["{SAMPLE_AGENT}"]\nactor_azp = ["robot", "relay"]\n',
    "plain": f'subject_azp = ["{SAMPLE_AGENT}"]\n',
}


def _tables(_: str) -> str:
    return "".join(
        f'[clients.{name}]\nauth = "client_secret_basic"\nsecret = "{SECRET}"\nproviders = {{ github = ["repo", '
        f'"read:user"] }}\n{keys}'
        for name, keys in CLIENTS.items()
    )


class Desk:
    """A vault with these clients, and a user with an account."""

    def __init__(self, url: str, vault: Vault, app: App) -> None:
        self.url = url
        self.vault = vault
        self.app = app

    async def exchange(self, client: str, subject: str, actor: str | None) -> httpx.Response:
        form = self.vault.exchange_form(subject)
        if actor is not None:
            form |= {"actor_token": actor, "actor_token_type": ACCESS_TOKEN}
        return await self.vault.http.post(
            f"{self.url}/oauth/token", data=form, auth=(client, SECRET), headers=request_id()
        )

    async def reason(self, answer: httpx.Response) -> str | None:
        """Why it was refused, if it was."""
        (event,) = await self.vault.events_of(answer)
        if event["decision"] == "refused":
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        else:
            assert answer.status_code == 200, answer.text
        reason: str | None = event.get("reason")
        return reason


@pytest_asyncio.fixture(scope="module")
async def desk(world: World, vault: Vault) -> AsyncIterator[Desk]:
    with also_serving(world, _tables) as url:
        async with App(world) as app:
            await app.connect()
            yield Desk(url, vault, app)


@pytest.mark.parametrize(
    ("client", "sub", "azp", "allowed"),
    [
        ("robots", "bot", SAMPLE_AGENT, True),
        ("robots", "bot", "robot", True),
        ("robots", "bot", "relay", True),
        ("robots", "robots", "robots", True),
        ("robots", "robots", None, False),
        ("robots", "bot", "some-other-app", False),
        ("robots", "bot", "ROBOT", False),
        ("robots", "bot", None, False),
        ("robots", "robots", "some-other-app", False),
        ("robots", "bot", "robots", False),
        ("robots", "robot", None, False),
        ("plain", "bot", SAMPLE_AGENT, True),
        ("plain", "bot", "robot", False),
        ("plain", "robots", "robots", False),
    ],
)
async def test_a6_whose_actor_token_a_client_may_present(
    desk: Desk,
    client: str,
    sub: str,
    azp: str | None,
    allowed: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    issuer = desk.vault.world.issuer
    answer = await desk.exchange(client, desk.app.session_token, issuer.mint(sub, azp=azp))
    assert await desk.reason(answer) == (None if allowed else "wrong_presenter")
    (event,) = await desk.vault.events_of(answer)
    assert event.get("actor") == ({"iss": issuer.issuer, "sub": sub} if allowed else None)


async def test_a6_may_act_is_not_satisfied_by_an_actor_token_that_one_came_by(desk: Desk) -> None:
    issuer = desk.vault.world.issuer
    subject = issuer.mint(desk.app.user, azp=SAMPLE_AGENT, claims={"may_act": {"sub": "robot-7"}})
    for azp, reason in (("robot", None), ("some-other-app", "wrong_presenter"), (None, "wrong_presenter")):
        answer = await desk.exchange("robots", subject, issuer.mint("robot-7", azp=azp))
        assert await desk.reason(answer) == reason, azp
    assert await desk.reason(await desk.exchange("robots", subject, issuer.mint("other", azp="robot"))) == "may_act"


async def test_a5_the_names_of_actors_are_no_names_in_subject_tokens(desk: Desk) -> None:
    """`actor_azp` opens nothing for users' tokens."""
    subject = desk.vault.world.issuer.mint(fresh("user"), azp="robot")
    assert await desk.reason(await desk.exchange("robots", subject, None)) == "wrong_presenter"
