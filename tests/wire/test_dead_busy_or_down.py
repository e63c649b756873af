"""A provider's answer to a refresh: whether the grant is dead, busy or refused for a reason that nobody knows."""

from __future__ import annotations

import json
from typing import Any

from tests.doubles.acting import SHORT, connect, exchange
from tests.doubles.documented import Answer
from tests.doubles.provider import ProviderDouble
from tests.doubles.stage import Stage


def refusing(status: int, **members: Any) -> Answer:
    """A refusal that public clients report."""
    return Answer(
        page="https://example.com/",
        seen="2026-11-30",
        status=status,
        content_type="application/json",
        body=json.dumps(members),
    )


async def refused_with(stage: Stage, double: ProviderDouble, name: str, answer: Answer) -> tuple[int, str | None]:
    """What an exchange says when the refresh is refused like this, and the account's status."""
    double.life, double.answers = SHORT, {**double.answers, "reported": answer}
    double.instead["refresh"] = "reported"
    async with stage.app() as app:
        await connect(app, name)
        told = await exchange(stage, app, name)
        (account,) = (await app.http.get("accounts")).json()["accounts"]
    return told.status_code, account["status"]
