"""The pieces that every description is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Json = dict[str, Any]

JSON = "application/json"
HTML = "text/html"


def ref(kind: str, name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Json:
    """A reference to a schema."""
    return ref("schemas", name)


def answer(description: str, body: Json | None = None, *, media_type: str = JSON) -> Json:
    """A response: its body's schema, and the request's id, which every answer carries."""
    described: Json = {"description": description, "headers": {"X-Request-Id": ref("headers", "X-Request-Id")}}
    if body is not None:
        described["content"] = {media_type: {"schema": body}}
    return described


def header(name: str, description: str) -> Json:
    """A header that a request may carry."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def query_parameters(model: type[BaseModel], describing: Mapping[str, str]) -> list[Json]:
    """The parameters that a model reads from a query; each of them is described."""
    whole = model.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in whole.get("required", ()),
            "description": describing[name],
            "schema": _of_query(member, whole.get("$defs", {})),
        }
        for name, member in whole["properties"].items()
    ]


def body(model: type[BaseModel], describing: Mapping[str, str]) -> Json:
    """The JSON body that a model reads; each of its members is described."""
    whole = _plain(model.model_json_schema())
    whole["properties"] = {
        name: {**member, "description": describing[name]} for name, member in whole["properties"].items()
    }
    return {"required": True, "content": {JSON: {"schema": whole}}}


def _of_query(member: Json, definitions: Json) -> Json:
    """A query has no null: an absent parameter is just not there."""
    if "anyOf" in member:
        (member,) = [option for option in member["anyOf"] if option.get("type") != "null"]
    if "$ref" in member:
        definition = definitions[member["$ref"].rpartition("/")[2]]
        member = {"type": "string", "enum": definition["enum"]}
    return _plain(member)


def _plain(member: Json) -> Json:
    """Without what pydantic adds for forms: titles, and a null that is the default of what is absent."""
    if member.get("default", ...) is None:
        member = {name: value for name, value in member.items() if name != "default"}
    plain = {name: value for name, value in member.items() if name not in {"title", "description"}}
    if "properties" in plain:
        plain["properties"] = {name: _plain(value) for name, value in plain["properties"].items()}
    return plain
