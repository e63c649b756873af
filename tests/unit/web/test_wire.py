"""A bug is answered with nothing but `server_error`, in the shape of its route and with every answer's headers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import structlog.testing
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Message

from vaultd.errors import CannotOpen, TemporarilyUnavailable, VaultdError
from vaultd.web.wire import ErrorAnswers, EveryAnswer, install, note, security_headers

SECRET = "a-secret-in-a-message"


def page(_: Request, error: VaultdError) -> Response:
    return HTMLResponse(f"<p>{error.description}</p>", 500)


def application() -> FastAPI:
    app = FastAPI(openapi_url=None)
    answers = ErrorAnswers(page=page)
    install(app, answers=answers)
    app.add_middleware(EveryAnswer, headers=security_headers(https=True), answers=answers)

    async def bug() -> Response:
        raise RuntimeError(SECRET)

    async def domain_bug() -> Response:
        raise CannotOpen(SECRET, detail=SECRET)

    async def half() -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError(SECRET)

        return StreamingResponse(body())

    async def away() -> Response:
        raise TemporarilyUnavailable(retry_after=7)

    async def reading(request: Request) -> Response:
        return Response(await request.body())

    app.post("/v1/reading")(reading)
    app.get("/auth/bug")(bug)
    app.get("/v1/bug")(bug)
    app.get("/v1/domain")(domain_bug)
    app.get("/v1/half")(half)
    app.get("/v1/away")(away)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    # What leaves the app is for the server to log: here it would be raised into the test.
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport, base_url="https://vault.example.com") as speaking:
        yield speaking


@pytest.mark.parametrize("path", ["/v1/away", "/v1/bug"])
def test_of_a_path_a_line_of_the_log_has_the_beginning(path: str) -> None:
    """Anyone can send a long one, as often as they like."""
    error = TemporarilyUnavailable() if path == "/v1/away" else RuntimeError()
    with structlog.testing.capture_logs() as told:
        note(error, path + "/" * 10_000)
    assert [line["path"] for line in told] == [path.ljust(256, "/")]


@pytest.mark.parametrize("path", ["/v1/bug", "/v1/domain"])
async def test_a_bug_of_a_json_api_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 500
    assert answer.json() == {
        "type": "urn:vaultd:error:server_error",
        "title": "Server error",
        "status": 500,
        "detail": "Something went wrong on our side.",
    }


async def test_a_bug_before_a_person_is_a_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/auth/bug")
    assert (answer.status_code, answer.text) == (500, "<p>Something went wrong on our side.</p>")


@pytest.mark.parametrize("path", ["/auth/bug", "/v1/bug", "/v1/domain"])
async def test_b7_the_answer_to_a_bug_has_the_headers_of_every_answer(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert SECRET not in answer.text
    for header in ("content-security-policy", "x-content-type-options", "referrer-policy", "strict-transport-security"):
        assert header in answer.headers, header
    assert len(answer.headers["x-request-id"]) == 32


async def test_half_an_answer_is_cut_off(client: httpx.AsyncClient) -> None:
    with pytest.raises(RuntimeError):
        await client.get("/v1/half")


async def test_a_caller_who_goes_away_is_no_bug() -> None:
    sent: list[Message] = []
    received: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(received)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/reading", "query_string": b"", "headers": []}
    await application()(scope, receive, send)
    assert sent == []


async def test_what_is_away_says_when_to_try_again(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/away")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
