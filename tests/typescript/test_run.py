"""The one command that starts DevContext with a sandbox around it (issue 7, item 4)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.typescript import DEVCONTEXT, build
from vaultd.errors import ConfigurationError
from vaultd.sandbox.app_client import AppClient, write_environment
from vaultd.sandbox.servers import listen

START_TIMEOUT = 90.0


def test_one_command_starts_it_and_ends_all_of_it(tmp_path: Path) -> None:
    build(DEVCONTEXT)
    at = listen()
    port = at.port
    at.socket.close()
    url = f"http://localhost:{port}"
    environment = {**os.environ, "DEVCONTEXT_PORT": str(port), "DEVCONTEXT_DATA": str(tmp_path)}
    process = subprocess.Popen(
        [DEVCONTEXT / "run"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        page = wait_for(url, process)
        assert "What did I work on yesterday?" in page
        way = httpx.get(f"{url}/auth/sign-in", trust_env=False)
        issuer = way.headers["location"]
        assert way.status_code == 303
        assert "code_challenge_method=S256" in issuer
        assert httpx.get(issuer, trust_env=False).status_code == 200
        (kept,) = [line for line in lines(tmp_path / "sandbox.env") if line.startswith("VAULTD_CLIENT_SECRET")]
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert kept.partition("=")[2] not in said
    assert not (tmp_path / "sandbox.env").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(issuer, trust_env=False)


def wait_for(url: str, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stdout and process.stdout.read()
        try:
            return httpx.get(url, trust_env=False).raise_for_status().text
        except httpx.ConnectError:
            time.sleep(0.2)
    raise AssertionError("It did not start.")


def lines(path: Path) -> list[str]:
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_text(encoding="utf-8").splitlines()


def test_an_app_is_named_and_placed() -> None:
    app = AppClient.parse("my-app=http://localhost:3000/")
    assert (app.name, app.url, app.connected) == ("my-app", "http://localhost:3000", "http://localhost:3000/connected")
    assert app.vault_secret.reveal() != app.issuer_secret.reveal()
    for text in ("", "my-app", "=http://localhost", "operator=http://localhost", "A B=http://localhost", "a=ftp://x"):
        with pytest.raises(ConfigurationError):
            AppClient.parse(text)


def test_its_environment_is_for_its_owner_only(tmp_path: Path) -> None:
    app = AppClient.parse("my-app=http://localhost:3000")
    told = app.environment(vault="http://v", issuer="http://i", providers={"github": "http://g"})
    path = tmp_path / "new" / ".env"
    write_environment(path, told)
    assert dict(line.split("=", 1) for line in lines(path)) == told
    assert told["GITHUB_API_URL"] == "http://g"
    assert list(path.parent.iterdir()) == [path]


def test_its_options_go_together() -> None:
    command = [sys.executable, "-m", "vaultd.cli", "dev", "--client", "my-app=http://localhost:3000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.search("--client-env", done.stderr)
