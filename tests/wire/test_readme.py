"""What README shows is what happens."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.world import World
from vaultd.settings import load

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
EXAMPLE = "https://vault.example.com"


def _snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def _run(script: str, environ: dict[str, str]) -> dict[str, Any]:
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-euc", script], env=path | environ, capture_output=True, check=True, timeout=30)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


async def test_the_curl_gets_what_the_readme_says(world: World) -> None:
    (curl,) = [snippet for snippet in _snippets("sh") if "curl" in snippet]
    granted, refused = (json.loads(snippet) for snippet in _snippets("json"))
    script = curl.replace(EXAMPLE, world.places.vault)
    async with AppUser(world, PEOPLE["bob"]) as bob:
        environ = {
            "BRIEFING_SECRET": world.secrets.briefing_agent.reveal(),
            "SESSION_TOKEN": bob.session_token.reveal(),
        }
        account = await bob.connect("github")
        answer = _run(script, environ)
        assert set(answer) == set(granted)
        assert (answer["token_type"], answer["connection"]) == (granted["token_type"], granted["connection"])
        await bob.disconnect(account["id"])
        again = _run(script, environ)
    assert {name: value.replace(world.places.vault, EXAMPLE) for name, value in again.items()} == refused


def test_the_configuration_is_accepted(tmp_path: Path) -> None:
    (configuration,) = _snippets("toml")
    file = tmp_path / "vaultd.toml"
    file.write_text(configuration, encoding="utf-8")
    names = set(re.findall(r'"env:([A-Z_]+)"', configuration))
    environ = dict.fromkeys(names, "0123456789abcdef0123456789abcdef")
    environ["DATABASE_URL"] = "postgresql://vaultd_serve:made-up@db.example.com/vaultd?sslmode=verify-full"
    settings = load(file, environ=environ)
    assert set(settings.clients) == {"briefing-agent", "auditor"}


def test_both_commands_are_in_the_makefile() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    commands = [snippet.strip() for snippet in _snippets("sh") if snippet.startswith("make ")]
    assert commands == ["make demo", "make test"]
    for command in commands:
        assert re.search(rf"^{command.removeprefix('make ')}:", makefile, re.MULTILINE)
