"""What operators' programs call, wired."""

from __future__ import annotations

from fastapi import FastAPI

from vaultd.app.ground import Ground
from vaultd.connections.grants import GrantStore
from vaultd.operator_tokens import OperatorTokens
from vaultd.revoke import GiveBack, Offboard, Revoke
from vaultd.revoke.secrets import Secrets
from vaultd.web import audit, bearer, operators


def add_operators(
    app: FastAPI,
    ground: Ground,
    tokens: OperatorTokens,
    *,
    revoke: Revoke,
    give_back: GiveBack,
    secrets: Secrets,
    grants: GrantStore,
) -> None:
    """Add the routes of `/v1`."""
    believed = bearer.Operators(tokens=tokens)
    app.include_router(
        audit.router(
            database=ground.database,
            reader=ground.reader,
            subjects=ground.subjects,
            operators=believed,
            log=ground.log,
            refused=ground.refused,
        )
    )
    app.include_router(
        operators.router(
            database=ground.database,
            operators=believed,
            log=ground.log,
            connections=operators.OperatorConnections(
                database=ground.database, data_keys=ground.data_keys, subjects=ground.subjects
            ),
            revoke=revoke,
            offboard=Offboard(
                log=ground.log,
                pending=ground.pending,
                subjects=ground.subjects,
                secrets=secrets,
                grants=grants,
                wake_revoker=give_back.wake,
            ),
            refused=ground.refused,
        )
    )
