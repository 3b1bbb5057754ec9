"""The JSON Schemas are of the dialect that they name, and are true of what travels."""

from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import Field

from idl import json_schema, json_schema_of, markdown_of, pack, unpack
from idl.jsonschema import DIALECT
from machnet_rpc.cli.arguments import jsonable
from machnet_rpc.schemas import schema_of
from tests.idl.catalogue import ENTRY, Box, Catalogue, Extent, Range, Trade
from tests.idl.values import TYPES, Colour, Model, Span, Struct


def plain(value: object) -> Any:
    """A value as `mrpc call` prints it."""
    return jsonable(unpack(pack(value)))


def test_a_service_is_one_document() -> None:
    document = json_schema_of(schema_of(Catalogue))
    assert document["$schema"] == DIALECT
    jsonschema.Draft202012Validator.check_schema(document)
    assert {"Entry", "Level", "Page[Entry]", "find.arguments", "find.result"} <= set(
        document["$defs"]
    )
    assert document["$defs"]["find.arguments"]["required"] == ["name"]


@pytest.mark.parametrize(
    ("part", "value", "is_valid"),
    [
        ("Entry", ENTRY, True),
        ("Entry", {"name": "x", "sizeBytes": -1}, False),
        ("Entry", {"name": "", "sizeBytes": 1}, False),
        ("Entry", {"name": "x"}, False),
        ("Entry", {"name": "x", "sizeBytes": 1, "unknown": 1}, False),
        ("Entry", {"name": "x", "sizeBytes": 1, "colour": "green"}, False),
        ("Entry", {"name": "x", "sizeBytes": 1, "pair": [1]}, False),
        ("Trade", Trade(5, [Trade(6)]), True),
        ("Trade", {"price": 5, "type": "other"}, False),
        ("Extent", {"width": 5}, True),
        ("find.arguments", {"name": "x", "limit": 3}, True),
        ("find.arguments", {"limit": 3}, False),
        ("put.arguments", ENTRY, True),
        ("put.arguments", {"entry": ENTRY}, False),
        ("find.result", {"items": [ENTRY], "next": None}, True),
        ("find.result", {"items": [{}], "next": None}, False),
        ("measure.result", {1, 2}, True),
        ("measure.result", [1, 1], False),
        ("collect.requests", ENTRY, True),
        ("put.result", None, True),
        ("error Missing", {"name": "x", "tried": [1]}, True),
    ],
)
def test_it_is_true_of_values(part: str, value: object, is_valid: bool) -> None:
    document = json_schema_of(schema_of(Catalogue))
    reference = {"$ref": f"#/$defs/{part}", "$defs": document["$defs"], "$schema": DIALECT}
    validator = jsonschema.Draft202012Validator(reference)
    assert validator.is_valid(plain(value)) is is_valid, list(validator.iter_errors(plain(value)))


@pytest.mark.parametrize("annotation", [each for each, _ in TYPES] + [Range, Extent], ids=str)
def test_every_type_has_a_schema(annotation: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(annotation))


@pytest.mark.parametrize(
    ("annotation", "valid", "invalid"),
    [
        (Annotated[int, Field(gt=5)], 6, 5),
        (Annotated[int, Field(lt=5)], 4, 5),
        (Annotated[list[int], Field(min_length=2)], [1, 2], [1]),
        (Annotated[set[int], Field(max_length=1)], [1], [1, 2]),
        (Annotated[dict[str, int], Field(max_length=1)], {"a": 1}, {"a": 1, "b": 2}),
        (Annotated[str, Field(min_length=2)], "ab", "a"),
        (Span, [1], []),
        (Box[Literal["a/b~c"]], {"content": "a/b~c"}, {"content": "b"}),
    ],
    ids=str,
)
def test_limits_are_those_of_the_type(annotation: Any, valid: Any, invalid: Any) -> None:
    validator = jsonschema.Draft202012Validator(json_schema(annotation))
    assert [validator.is_valid(value) for value in (valid, invalid)] == [True, False]


def test_json_schemas() -> None:
    assert json_schema(int) == {"type": "integer"}
    model = json_schema(Model)["$defs"]["Model"]
    assert model["properties"]["sizeBytes"] == {"type": "integer"}
    assert json_schema(Colour)["$defs"]["Colour"]["enum"] == ["red", "blue"]
    assert "$ref" in json_schema(Struct)
    assert json_schema(memoryview) == json_schema(bytes)
    assert json_schema(Any) == {}


def test_markdown() -> None:
    page = markdown_of(schema_of(Catalogue))
    for line in (
        "# demo.catalogue",
        "All kinds of things.",
        "`find(name: str, limit: int = 10, level: Level | None = null) -> Page[Entry]`",
        "Finds entries.",
        "- timeout: 1.5 s",
        "- raises: Missing, NotFound",
        "- idempotent: yes",
        "`watch(name: str) -> AsyncIterator[Entry]`",
        "`collect(entries: AsyncIterator[Entry]) -> int`",
        "### Colour (enum)",
        "| RED | `'red'` |",
        "| sizeBytes | `int (ge=0)` |  |",
        "| price | `decimal \\| None` | `null` |",
        "An RpcError with the code NOT_FOUND.",
    ):
        assert line in page.splitlines(), line


def test_bytes_that_are_picked_out_are_as_they_are_printed() -> None:
    kind = Literal[b"a", b"\xff", 1]
    assert json_schema(kind)["enum"] == [1, *map(plain, (b"\xff", b"a"))]
