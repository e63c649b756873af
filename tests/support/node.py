"""The Node.js side of the tests: a certified OAuth server to connect accounts at, and a generic OAuth client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from vaultd.sandbox.loopback import loopback_http
from vaultd.terms import Secret

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "node"
START_TIMEOUT = 60.0
"""Seconds until a program of Node.js must have said what it has to say; a cold disk under a busy machine takes long."""
STOP_TIMEOUT = 5.0


class NodeError(Exception):
    """Node.js or its packages are missing, or a program of ours failed; the words say which."""


@dataclass(frozen=True, slots=True)
class OidcProvider:
    """A running npm `oidc-provider`, the app that it knows, and a client that may introspect.

    `endpoints` is its discovery document. `pid` is its process.
    """

    issuer: str
    client_id: str
    client_secret: Secret
    introspector: tuple[str, Secret]
    endpoints: Mapping[str, Any]
    pid: int


@dataclass(frozen=True, slots=True)
class NodeOAuth:
    """A running npm `@node-oauth/oauth2-server` at `url`, and the app that it knows."""

    url: str
    client_id: str
    client_secret: Secret


@cache
def find_node() -> str:
    """The machine's Node.js if it is recent enough, else the one from PyPI. Raises `NodeError`."""
    found = subprocess.run([ROOT / "scripts" / "find-node"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise NodeError(found.stderr.strip())
    if not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        raise NodeError("The npm packages of the tests are missing. Run `make test`, or scripts/setup-node.")
    return found.stdout.strip()


@asynccontextmanager
async def oidc_provider(
    *,
    redirect_uris: Collection[str],
    access_token_ttl: int = 600,
    client_auth: str = "client_secret_basic",
    scopes: Collection[str] | None = None,
    client_id: str = "vaultd",
    resource: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> AsyncIterator[OidcProvider]:
    """Start the server on a free port of 127.0.0.1 and stop it at the end of the block. Times are in seconds.

    With `resource`, access tokens are for the API of that URL. `more` are the program's other options.

    It asks for PKCE, rotates refresh tokens, revokes a whole grant when an old one is used again, and shows its own
    pages for sign-in (fields `login` and `password`, anything goes) and consent.

    Raises:
        NodeError: it did not start.
    """
    options: dict[str, Any] = {
        "redirectUris": list(redirect_uris),
        "accessTokenTtl": access_token_ttl,
        "clientAuth": client_auth,
        "clientId": client_id,
        **(more or {}),
    }
    if resource is not None:
        options["resource"] = resource
    if scopes is not None:
        options["scopes"] = list(scopes)
    async with _program("provider.mjs", options) as (said, pid):
        async with loopback_http() as http:
            answer = await http.get(f"{said['issuer']}/.well-known/openid-configuration")
        yield OidcProvider(
            issuer=said["issuer"],
            client_id=said["clientId"],
            client_secret=Secret(said["clientSecret"]),
            introspector=(said["introspector"]["clientId"], Secret(said["introspector"]["clientSecret"])),
            endpoints=answer.raise_for_status().json(),
            pid=pid,
        )


@asynccontextmanager
async def node_oauth(*, redirect_uris: Collection[str], access_token_ttl: int) -> AsyncIterator[NodeOAuth]:
    """The same with the other server, which says yes at once. Raises `NodeError`."""
    options = {"redirectUris": list(redirect_uris), "accessTokenTtl": access_token_ttl}
    async with _program("node-oauth.mjs", options) as (said, _):
        yield NodeOAuth(said["issuer"], said["clientId"], Secret(said["clientSecret"]))


async def exchange(request: Mapping[str, Any], program: str = "exchange.mjs") -> dict[str, Any]:
    """Make one exchange with `oauth4webapi`; `exchange.mjs` says what `request` holds and what comes back.

    `program` may be `openid-client.mjs`, which does the same with the package of that name.

    Raises:
        NodeError: the program failed, as opposed to the exchange.
    """
    return await ask(program, request)


async def ask(program: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run a program that reads one JSON object and prints another. Raises `NodeError`."""
    process = await asyncio.create_subprocess_exec(
        find_node(), program, cwd=FOLDER, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(START_TIMEOUT):
            output, errors = await process.communicate(json.dumps(request).encode())
    except TimeoutError:
        raise NodeError(f"{program} was not done within {START_TIMEOUT:.0f} s") from None
    finally:
        await _stop(process)
    if process.returncode != 0:
        raise NodeError(f"{program} failed: {errors.decode(errors='replace').strip()}")
    outcome: dict[str, Any] = json.loads(output)
    return outcome


@asynccontextmanager
async def _program(name: str, options: Mapping[str, Any]) -> AsyncIterator[tuple[dict[str, Any], int]]:
    """Start a program that serves; gives what it said when it listened, and its process."""
    with tempfile.TemporaryFile() as log:
        process, said = await _started(name, options, log)
        try:
            yield said, process.pid
        finally:
            await _stop(process)


async def _started(name: str, options: Mapping[str, Any], log: IO[bytes]) -> tuple[Process, dict[str, Any]]:
    """A program that has said where it listens; one that says nothing is started once more."""
    for attempt in (1, 2):
        process = await asyncio.create_subprocess_exec(
            find_node(), name, json.dumps(options), cwd=FOLDER, stdin=PIPE, stdout=PIPE, stderr=log
        )
        try:
            return process, await _said(name, process, log)
        except BaseException as error:
            await _stop(process)
            if attempt == 2 or not isinstance(error, NodeError):
                raise
    raise AssertionError("there are two attempts")


async def _said(name: str, process: Process, log: IO[bytes]) -> dict[str, Any]:
    if process.stdout is None:
        raise NodeError(f"{name} was started without a pipe")
    try:
        async with asyncio.timeout(START_TIMEOUT):
            line = await process.stdout.readline()
    except TimeoutError:
        line = b""
    if not line:
        log.seek(0)
        how = "is silent" if process.returncode is None else f"ended with {process.returncode}"
        raise NodeError(f"{name} did not start, it {how}: {log.read().decode(errors='replace').strip()}")
    said: dict[str, Any] = json.loads(line)
    return said


async def _stop(process: Process) -> None:
    """Close its input, which it takes as the sign to end; kill it if it does not."""
    if process.returncode is None:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
