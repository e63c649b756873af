"""The document as a page shows it: references followed, schemas put into words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vaultd.web.openapi.parts import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A parameter, a member or a header."""

    name: str
    kind: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A body, or one of the forms that it may have."""

    title: str
    fields: list[Field]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One status of an operation."""

    status: str
    description: str
    headers: list[Field]
    shapes: list[Shape]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method on a path."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    security: str
    parameters: list[Field]
    bodies: list[Shape]
    answers: list[Answer]


@dataclass(frozen=True, slots=True)
class Section:
    """All operations of a tag."""

    name: str
    description: str
    operations: list[Operation] = field(default_factory=list)


class Outline:
    """Reads a document of ours; it is no reader for others'."""

    def __init__(self, document: Json) -> None:
        self._document = document

    def sections(self) -> list[Section]:
        """The tags in their order, each with its operations."""
        sections = {tag["name"]: Section(tag["name"], tag["description"]) for tag in self._document["tags"]}
        for path, methods in self._document["paths"].items():
            for method, operation in methods.items():
                (tag,) = operation["tags"]
                sections[tag].operations.append(self._operation(path, method, operation))
        return list(sections.values())

    def _operation(self, path: str, method: str, operation: Json) -> Operation:
        body = operation.get("requestBody", {})
        return Operation(
            id=operation["operationId"],
            method=method.upper(),
            path=path,
            summary=operation["summary"],
            description=operation["description"],
            security=_security(operation["security"]),
            parameters=[self._parameter(parameter) for parameter in operation.get("parameters", ())],
            bodies=list(self._shapes(body, others=False)),
            answers=[self._answer(status, answer) for status, answer in operation["responses"].items()],
        )

    def _parameter(self, parameter: Json) -> Field:
        return Field(
            name=parameter["name"],
            kind=f"{parameter['in']}, {self._kind(parameter['schema'])}",
            required=parameter.get("required", False),
            description=parameter.get("description", ""),
        )

    def _answer(self, status: str, reference: Json) -> Answer:
        answer = self._followed(reference)
        headers = [
            Field(
                name=name,
                kind=self._kind(header["schema"]),
                required=header["required"],
                description=header["description"],
            )
            for name, header in ((name, self._followed(header)) for name, header in answer["headers"].items())
        ]
        return Answer(
            status=status, description=answer["description"], headers=headers, shapes=list(self._shapes(answer))
        )

    def _shapes(self, holder: Json, *, others: bool = True) -> Iterator[Shape]:
        """Each encoding, and within it each of the forms."""
        for media_type, content in holder.get("content", {}).items():
            whole = self._followed(content["schema"])
            forms = whole.get("oneOf") or whole.get("anyOf") or [content["schema"]]
            for form in forms:
                described = self._followed(form)
                name = described.get("title") or (form["$ref"].rpartition("/")[2] if others and "$ref" in form else "")
                title = f"{media_type}: {name}" if name else media_type
                yield Shape(title, self._fields(described))

    def _fields(self, described: Json) -> list[Field]:
        required = described.get("required", ())
        return [
            Field(
                name=name,
                kind=self._kind(member),
                required=name in required,
                description=self._followed(member).get("description", ""),
            )
            for name, member in described.get("properties", {}).items()
        ]

    def _kind(self, reference: Json) -> str:
        described = self._followed(reference)
        if "const" in described:
            return f"“{described['const']}”"
        if "enum" in described:
            return " | ".join(f"“{value}”" if value else "empty" for value in described["enum"])
        if "anyOf" in described:
            return " | ".join(self._kind(option) for option in described["anyOf"])
        if described["type"] == "array":
            return f"list of {self._kind(described['items'])}"
        if described["type"] == "object" and "properties" in described:
            members = ", ".join(described["properties"])
            return f"{{{members}}}"
        return f"{described.get('format', described['type'])}{_bounds(described)}"

    def _followed(self, reference: Json) -> Json:
        if "$ref" not in reference:
            return reference
        found = self._document
        for part in reference["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return found


def _bounds(described: Json) -> str:
    least, most = described.get("minimum"), described.get("maximum")
    if least is not None and most is not None:
        return f", {least} to {most}"
    return f", at least {least}" if least is not None else ""


def _security(requirements: list[Json]) -> str:
    ways = []
    for requirement in requirements:
        words = [f"{name} ({', '.join(scopes)})" if scopes else name for name, scopes in requirement.items()]
        ways.append(" and ".join(words) or "none")
    return " or ".join(ways) or "none"
