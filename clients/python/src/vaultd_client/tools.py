"""Functions as tools for agents: the token comes in by itself, and a missing connection becomes a sentence."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

from vaultd_client.errors import InteractionRequired
from vaultd_client.values import AccessToken

TOKEN = "token"  # noqa: S105 - the name of a parameter

T = TypeVar("T")
Tool = Callable[..., T | str]
AsyncTool = Callable[..., Coroutine[Any, Any, T | str]]
Say = Callable[[InteractionRequired, str | None], str]
"""Makes the sentence, from what is missing and the provider's name as people know it, if the tool gave one."""

_NAMES = {
    "docusign": "DocuSign",
    "github": "GitHub",
    "gitlab": "GitLab",
    "hubspot": "HubSpot",
    "linkedin": "LinkedIn",
    "pagerduty": "PagerDuty",
    "quickbooks": "QuickBooks",
}
"""Those that a capital letter at the start does not spell."""


def sentence(error: InteractionRequired, label: str | None = None) -> str:
    """What an agent can say to its user, with the link: "Slack is not connected. Connect it in Settings …"."""
    name = label or _NAMES.get(error.connection) or error.connection[:1].upper() + error.connection[1:]
    words = {
        "not_connected": f"{name} is not connected. Connect it in Settings to include {name} data.",
        "reconnect_required": f"{name} is no longer connected. Reconnect it in Settings to include {name} data.",
        "scope_missing": f"{name} is connected without the permission for this. "
        f"Connect it again in Settings and allow it to include {name} data.",
        "account_ambiguous": f"Several {name} accounts are connected: {', '.join(error.accounts)}. Say which to use.",
    }.get(error.reason, error.description)
    return f"{words} {error.connect_uri}".rstrip()


def sync_tool(
    function: Callable[..., T], *, token: Callable[[], AccessToken], refused: Callable[[InteractionRequired], str]
) -> Tool[T]:
    """The function, given a token, its own `InteractionRequired` said as well. Raises `TypeError` for a coroutine's."""
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__name__} is a coroutine function: make it a tool of an AsyncVaultClient.")
    wants_token = _wants_token(function)

    @wraps(function)
    def tool(*args: Any, **kwargs: Any) -> T | str:
        try:
            given = {TOKEN: token()} if wants_token else {}
            return function(*args, **kwargs, **given)
        except InteractionRequired as error:
            return refused(error)

    _hide_token(tool, function)
    return tool


def async_tool(
    function: Callable[..., Awaitable[T]],
    *,
    token: Callable[[], Awaitable[AccessToken]],
    refused: Callable[[InteractionRequired], str],
) -> AsyncTool[T]:
    """The same for a coroutine function. Raises `TypeError` for another one."""
    if not inspect.iscoroutinefunction(function):
        raise TypeError("A tool of an AsyncVaultClient is a coroutine function.")
    wants_token = _wants_token(function)

    @wraps(function)
    async def tool(*args: Any, **kwargs: Any) -> T | str:
        try:
            given = {TOKEN: await token()} if wants_token else {}
            result: T = await function(*args, **kwargs, **given)
        except InteractionRequired as error:
            return refused(error)
        return result

    _hide_token(tool, function)
    return tool


def _wants_token(function: Callable[..., Any]) -> bool:
    parameter = inspect.signature(function).parameters.get(TOKEN)
    return parameter is not None and parameter.kind is not inspect.Parameter.POSITIONAL_ONLY


def _hide_token(tool: Callable[..., Any], function: Callable[..., Any]) -> None:
    """What frameworks read parameters and results from: a model is shown no parameter that it cannot fill in."""
    signature = inspect.signature(function)
    shown = [parameter for name, parameter in signature.parameters.items() if name != TOKEN]
    kinds = {name: kind for name, kind in function.__annotations__.items() if name != TOKEN}
    if "return" in kinds:
        # Where results are held against their type, the sentence is one of them.
        returned = kinds["return"]
        kinds["return"] = f"{returned} | str" if isinstance(returned, str) else returned | str
    tool.__annotations__ = kinds
    returns = kinds.get("return", signature.return_annotation)
    # What inspect.signature() looks at first; a function type does not declare it.
    vars(tool)["__signature__"] = signature.replace(parameters=shown, return_annotation=returns)
