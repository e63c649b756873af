"""A request's id is the vault's own: what a stranger writes into a header does not stay in a log for ever."""

from __future__ import annotations

import re

from tests.wire.vault import App, Vault, bearer, fresh
from vaultd.web.wire import name_request

OWN = re.compile(r"[0-9a-f]{32}")


async def test_two_requests_never_look_like_one(vault: Vault, app: App) -> None:
    await app.connect()
    chosen = {"X-Request-Id": fresh("chosen")}
    answers = [
        await vault.http.post(
            "/oauth/token", data=vault.exchange_form(app.session_token), auth=vault.agent, headers=chosen
        )
        for _ in range(2)
    ]
    answers.append(await vault.http.get("/v1/keys", headers=chosen | bearer(await vault.operator_token("keys:read"))))
    answers.append(await app.http.get("accounts", headers=chosen))
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(OWN.fullmatch(one) for one in ids)
    assert len(set(ids)) == len(ids)
    for answer in answers[:3]:
        assert len(await vault.events_of(answer)) == 1
    assert chosen["X-Request-Id"] not in str(await vault.audit(limit=100))


def test_the_log_leads_from_the_callers_id_to_ours() -> None:
    own, about = name_request({"headers": [(b"x-request-id", b"theirs-1")]})
    assert about == {"request_id": own, "client_request_id": "theirs-1"}


def test_an_id_that_is_none_is_not_logged() -> None:
    for value in (b"", b"a b", b"x" * 65, b"\x1b[2J", "ä".encode()):
        own, about = name_request({"headers": [(b"x-request-id", value)]})
        assert about == {"request_id": own}
        assert OWN.fullmatch(own)
