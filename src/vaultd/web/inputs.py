"""What programs send to the JSON APIs, read into a model: the same models are the document of `web/openapi`.

The caller is known before any of it is read, so a stranger learns nothing but 401.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Never, TypeVar
from uuid import UUID

from fastapi import Request
from fastapi.exceptions import HTTPException
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, WithJsonSchema

from vaultd.errors import InvalidInput, Mistake

JSON = "application/json"
_SHOWN = 20
"""Mistakes that one answer lists, so that a small body cannot ask for a large answer."""

Model = TypeVar("Model", bound=BaseModel)


async def json_body(request: Request, model: type[Model]) -> Model:
    """The body as a model. Raises `InvalidInput`, and 415 for what is not JSON."""
    content_types = request.headers.getlist("content-type")
    if len(content_types) != 1 or content_types[0].partition(";")[0].strip().lower() != JSON:
        # RFC 9110 §15.5.16
        raise HTTPException(415, f"Send {JSON}.", {"accept": JSON})
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        _refuse(error, "body")


def query(request: Request, model: type[Model]) -> Model:
    """The query as a model. Raises `InvalidInput`, also for a parameter of the model's that came twice."""
    known = {field.alias or name for name, field in model.model_fields.items()}
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given and name in known:
            raise InvalidInput((Mistake("This parameter came twice.", "query", (name,)),))
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        _refuse(error, "query")


def _refuse(error: ValidationError, source: str) -> Never:
    found = error.errors(include_url=False, include_context=False, include_input=False)[:_SHOWN]
    raise InvalidInput(tuple(Mistake(each["msg"], source, each["loc"]) for each in found)) from None


def _whole(text: Any) -> Any:
    # pydantic would take " 7", "7.0" and "7_0" as well, which no document of the API says.
    if isinstance(text, str) and not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError("Input should be a whole number")
    return text


def _canonical(text: Any) -> Any:
    # RFC 9562 §4; Python's own parser takes braces, prefixes and hyphens anywhere.
    if isinstance(text, str) and not _UUID.fullmatch(text):
        raise ValueError("Input should be a UUID")
    return text


def moment(text: str) -> datetime:
    """A moment as RFC 3339 §5.6 writes it, in UTC. Raises `ValueError`."""
    if not _MOMENT.fullmatch(text):
        raise ValueError("Input should be a date and time with a zone (RFC 3339)")
    text = text.upper()
    leap = text[17:19] == "60"
    try:
        # A leap second is taken for the first of the next minute, as most clocks count.
        read = datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if leap else text)
        return (read + timedelta(seconds=1) if leap else read).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("Input should be a moment between the years 1 and 9999") from None


_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

WHOLE = BeforeValidator(_whole)
"""Stands behind the bounds of an `int`, which a document shows only when they stand next to it."""
Cursor = Annotated[str, Field(max_length=512, pattern=r"^[A-Za-z0-9_-]+$")]
"""What a page gives as `next`."""
Id = Annotated[UUID, BeforeValidator(_canonical)]
Moment = Annotated[datetime, BeforeValidator(moment), WithJsonSchema({"type": "string", "format": "date-time"})]


def path_id(text: str) -> UUID | None:
    """An id from a path, or None: what is no id names nothing."""
    return UUID(text) if _UUID.fullmatch(text) else None
