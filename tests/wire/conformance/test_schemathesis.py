"""schemathesis finds nothing: over every operation, in all its phases and with all its checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from vaultd.sandbox.dev_config import BRIEFING_AGENT, OPERATOR, SAMPLE_AGENT, VAULT_AT_ISSUER
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.world import World, start_world

LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
EXAMPLES = 2_000
"""Requests that one run makes, at least."""
FOR_EACH_OPERATION = 65
"""How many of them schemathesis draws for an operation, beside those that cover its document's bounds."""


@pytest.fixture(scope="module")
def tried() -> Iterator[World]:
    """A sandbox of its own: thousands of refused requests throttle whoever comes from the same address."""
    with start_world(synced=False) as world:
        yield world


def test_schemathesis_finds_nothing(tried: World, tmp_path: Path) -> None:
    report = _run(tried, tmp_path, "schemathesis.toml", "--max-examples", str(FOR_EACH_OPERATION))
    assert report["test_cases"]["generated"] >= EXAMPLES
    assert report["operations"]["tested"] == report["operations"]["total"] > 0
    assert {name: phase["status"] for name, phase in report["phases"].items()} == {
        # The document has no examples of its own.
        "examples": "skip",
        "coverage": "success",
        "fuzzing": "success",
        "stateful": "success",
    }


def test_a_stranger_learns_nothing_but_401(tried: World, tmp_path: Path) -> None:
    report = _run(tried, tmp_path, "stranger.toml", "--max-examples", "20")
    assert report["operations"]["tested"] == 11
    assert report["test_cases"]["generated"] >= 500


def _run(world: World, folder: Path, config: str, *more: str) -> dict[str, Any]:
    """A run of schemathesis in a process of its own; gives its report, unless it found anything."""
    written = folder / "report.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(HERE / config)),
        *("run", f"{world.places.vault}/openapi.json", "--report-json-path", str(written), *more),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(world, folder), capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-4_000:]
    report: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    return report


def _environment(world: World, folder: Path) -> dict[str, str]:
    secret = world.secrets.operator.reveal()
    issued = httpx.post(
        f"{world.places.vault}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(OPERATOR, secret),
        trust_env=False,
    )
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "VAULTD_URL": world.places.vault,
        "VAULTD_REDIRECT_URI": f"{world.places.agent}/connected",
        "VAULTD_USER_TOKEN": world.issuer.mint("alice", azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES),
        "VAULTD_ISSUER": world.places.issuer,
        "VAULTD_LEAVER_TOKEN": world.issuer.mint("leaver", azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES),
        "VAULTD_LOGOUT_TOKENS": str(_logout_tokens(world, folder)),
        "VAULTD_AGENT": BRIEFING_AGENT,
        "VAULTD_AGENT_SECRET": world.secrets.briefing_agent.reveal(),
        "VAULTD_OPERATOR_TOKEN": issued.raise_for_status().json()["access_token"],
        "VAULTD_OPERATOR_SECRET": secret,
    }


def _logout_tokens(world: World, folder: Path) -> Path:
    """Each is good once, so there are as many as a run needs."""
    told: dict[str, Any] = {"events": {LOGOUT: {}}, "auth_time": None}
    tokens = (world.issuer.mint_id_token("leaver", client_id=VAULT_AT_ISSUER, **told) for _ in range(EXAMPLES))
    written = folder / "logout-tokens"
    written.write_text("\n".join(tokens), encoding="ascii")
    return written
