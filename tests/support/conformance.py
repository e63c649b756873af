"""Holds answers against the OpenAPI document: whatever test asks, the vault must answer as it says it does."""

from __future__ import annotations

import copy
import re
from datetime import timedelta
from typing import Any

import httpx
import schemathesis
from schemathesis.checks import CheckFunction, load_all_checks
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from vaultd.web.openapi import tokens

load_all_checks()
CHECKS: list[CheckFunction] = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


class Conformance:
    """Raises for an answer that the document does not allow: a status, a header, or a member that is not in it."""

    def __init__(self, document: dict[str, Any]) -> None:
        schema = schemathesis.openapi.from_dict(strict(document))
        self._operations: list[tuple[str, re.Pattern[str], APIOperation[Any, Any, Any, Any]]] = []
        for path, methods in document["paths"].items():
            pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
            self._operations += [(method.upper(), pattern, schema[path][method]) for method in methods]
        self.seen: set[tuple[str, int]] = set()

    async def check(self, answer: httpx.Response) -> None:
        """An event hook for `httpx.AsyncClient`. Requests beyond the document are none of its business."""
        request = answer.request
        for method, pattern, operation in self._operations:
            matched = pattern.fullmatch(request.url.path)
            if matched is not None and method == request.method:
                await answer.aread()
                operation.Case(path_parameters=matched.groupdict()).validate_response(_alone(answer), checks=CHECKS)
                self.seen.add((operation.definition.raw["operationId"], answer.status_code))


def _alone(answer: httpx.Response) -> httpx.Response:
    """The answer without its request's body, which may have been a stream."""
    request = httpx.Request(answer.request.method, answer.request.url, headers=answer.request.headers)
    alone = httpx.Response(answer.status_code, headers=answer.headers, content=answer.content, request=request)
    alone.elapsed = timedelta(0)
    return alone


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The same document without room for members in answers that it does not name."""
    closed = copy.deepcopy(document)
    _close(closed["components"]["responses"])
    for name, schema in closed["components"]["schemas"].items():
        if name not in tokens.SCHEMAS:
            _close(schema)
    return closed


def _close(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("type") == "object" and isinstance(node.get("properties"), dict):
            node.setdefault("additionalProperties", False)
        for value in node.values():
            _close(value)
    elif isinstance(node, list):
        for value in node:
            _close(value)
