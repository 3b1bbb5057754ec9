"""JSON Schema of a type, for tools that have no Python types."""

import importlib
from typing import Any

import pydantic

from idl.codecs import holds_struct


def json_schema(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a value of this type; empty where there is none."""
    if annotation is memoryview:
        annotation = bytes
    if holds_struct(annotation):
        schema: dict[str, Any] = importlib.import_module("msgspec").json.schema(annotation)
        return schema
    try:
        return pydantic.TypeAdapter[Any](annotation).json_schema()
    except pydantic.errors.PydanticInvalidForJsonSchema:
        return {}  # any value, as far as JSON Schema can say
