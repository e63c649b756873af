from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import own_database
from tests.wire.guides.vaults import Ground
from vaultd.keys.local import generate_keyring_file
from vaultd.sandbox.postgres import RunningPostgres
from vaultd.sandbox.world import World
from vaultd.terms import system_clock

SHARED_SECRET = "a secret of thirty-two bytes or more"


@pytest.fixture(scope="module")
def ground(
    world: World, postgres: RunningPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """One database and one keyring for all vaults of a file."""
    keyring = tmp_path_factory.mktemp("guides") / "keyring.json"
    generate_keyring_file(keyring, now=system_clock())
    environ = {
        "BRIEFING_SECRET": world.secrets.briefing_agent.reveal(),
        "WEB_APP_SECRET": world.secrets.briefing_agent.reveal(),
        "CALENDAR_API_SECRET": world.secrets.briefing_agent.reveal(),
        "LOGIN_SECRET": world.secrets.login.reveal(),
        "AUDITOR_SECRET": world.secrets.operator.reveal(),
        "GITHUB_SECRET": world.secrets.provider.reveal(),
        "GOOGLE_SECRET": world.secrets.provider.reveal(),
        "OPERATOR_SECRET": world.secrets.operator.reveal(),
        "SUPABASE_JWT_SECRET": SHARED_SECRET,
        "INTROSPECTION_SECRET": SHARED_SECRET,
    }
    with own_database(postgres, template) as urls:
        yield Ground(world, urls.service, keyring, environ)
