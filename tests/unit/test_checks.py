"""`vaultd check` reads the keys of the clients that sign."""

from __future__ import annotations

import json
from pathlib import Path

from joserfc.jwk import ECKey

from tests.unit.loopback_issuer import HOST, JWKS, LoopbackIssuer
from tests.unit.settings.a_file import MINIMAL, load_text
from vaultd.cli.checks import Finding, check_all


async def found(folder: Path, keys: str) -> Finding:
    table = f'[clients.agent]\nauth = "private_key_jwt"\n{keys}\n'
    settings = load_text(folder / "vaultd.toml", MINIMAL + table)
    (finding,) = [finding for finding in await check_all(settings) if finding.what == "client agent"]
    return finding


async def test_keys_at_an_address(tmp_path: Path) -> None:
    async with LoopbackIssuer() as server:
        keys = f'jwks_uri = "{server.url}{JWKS}"\nallow_private_hosts = ["{HOST}"]'
        good = await found(tmp_path, keys)
        assert (good.state, good.text) == ("ok", f"1 keys at {server.url}{JWKS}")
        for body in (b"<html>", b'{"keys": 7}', b'{"keys": []}'):
            server.jwks_body = body
            bad = await found(tmp_path, keys)
            assert bad.state == "failed", bad
        server.status = 404
        assert "status 404" in (await found(tmp_path, keys)).text
        await server.stop()
        assert (await found(tmp_path, keys)).state == "failed"


async def test_keys_in_a_file(tmp_path: Path) -> None:
    keys = 'jwks_file = "agent.json"'
    assert (await found(tmp_path, keys)).state == "failed"
    jwks = {"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}
    (tmp_path / "agent.json").write_text(json.dumps(jwks), encoding="utf-8")
    assert (await found(tmp_path, keys)).state == "ok"
