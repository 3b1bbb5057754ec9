"""What .proto files of other generations than proto3 become, and what imports of them bring."""

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from idl import import_proto, proto_of
from machnet_rpc import testing
from machnet_rpc.schemas import schema_of

PROTOS = Path(__file__).parent / "protos"

pytest.importorskip("grpc_tools")


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a file of the folder as a module, which stands in a file, too."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def take(proto: Path) -> ModuleType:
        name = f"imported_{proto.stem}_{len(made)}"
        (tmp_path / f"{name}.py").write_text(import_proto([proto]), encoding="utf-8")
        made.append(name)
        return importlib.import_module(name)

    yield take
    for name in made:
        sys.modules.pop(name, None)


def test_proto2_is_imported(imported: Any) -> None:
    module = imported(PROTOS / "legacy" / "two.proto")
    service = schema_of(module.Twos)
    members = service.definitions.by_name["Two"].members
    shapes = {each.name: str(each.shape).partition(" (")[0] for each in members}
    assert [each.name for each in members if each.required] == ["must"]
    assert (shapes["other"], shapes["item"]) == ("Colour | None", "list[TwoItem]")
    assert (shapes["any"], shapes["more"]) == ("dict[str, any] | None", "list[dict[str, any]]")
    assert [name for name in shapes if name.startswith("field")] == ["field_"]
    two = module.Two(must=1)
    assert (two.count, two.text, two.raw) == (5, 'a"b\n', b"\x01x")
    assert math.isinf(two.most)
    assert two.colour is module.Colour.real_
    assert list(service.methods) == ["list_", "rpc_"]


def test_an_import_brings_what_is_led_to(imported: Any) -> None:
    module = imported(PROTOS / "legacy" / "two.proto")
    assert hasattr(module, "Wanted")
    assert not hasattr(module, "Unused")
    assert not hasattr(module, "Elsewhere")
    assert not hasattr(module, "Nothing")  # it has no method, and so is no contract


def test_editions_are_imported(imported: Any) -> None:
    members = schema_of(imported(PROTOS / "edition.proto").Moderns).definitions.by_name["Modern"]
    limits = f" (ge={-(2**31)}, lt={2**31})"
    assert {each.name: (str(each.shape), each.required) for each in members.members} == {
        "explicit": (f"int{limits} | None", False),
        "implicit": (f"int{limits}", False),
        "must": (f"int{limits}", True),
        "delimited": ("Modern | None", False),
    }


def test_structures_and_aliases_are_exported_as_what_they_were(
    imported: Any, tmp_path: Path
) -> None:
    service = schema_of(imported(PROTOS / "legacy" / "two.proto").Twos)
    text = proto_of(service)
    assert "option allow_alias = true;" in text
    assert "repeated google.protobuf.Struct more = 10;" in text
    assert "google.protobuf.ListValue list_ = 11;" in text
    (tmp_path / "again.proto").write_text(text, encoding="utf-8")
    again = schema_of(imported(tmp_path / "again.proto").Twos)
    of_name = service.definitions.by_name["Two"].members
    back = again.definitions.by_name["Two"].members
    for before, after in zip(of_name, back, strict=True):
        assert str(after.shape).removesuffix(" | None") == str(before.shape).removesuffix(
            " | None"
        ) or before.name in ("most", "colour", "other")


def _echo(kind: Any) -> Any:
    async def echo(self: Any, request: Any) -> Any:
        return request

    echo.__annotations__ = {"request": kind, "return": kind}
    return echo


async def test_values_cross(imported: Any) -> None:
    module = imported(PROTOS / "legacy" / "two.proto")

    methods = {"rpc_": _echo(module.Two), "list_": _echo(list[Any])}
    here: Any = type("Here", (module.Twos,), methods)
    two = module.Two(must=7, item=[module.TwoItem(name="x")], any={"@type": "t/x", "a": [1, None]})
    async with testing.test_client(here()) as client:
        stub = client.stub(module.Twos)
        assert await stub.rpc_(two) == two
        assert await stub.list_([1, "a", None]) == [1, "a", None]


def test_an_imported_file_is_not_taken_for_one_whose_name_ends_alike(tmp_path: Path) -> None:
    (tmp_path / "user.proto").write_text(
        'syntax = "proto3"; message User {} message Unused {} '
        "service Users { rpc Get(User) returns (User); }",
        encoding="utf-8",
    )
    named = tmp_path / "super_user.proto"
    named.write_text(
        'syntax = "proto3"; import "user.proto"; service S { rpc F(User) returns (User); }',
        encoding="utf-8",
    )
    text = import_proto([named])
    assert [line for line in text.splitlines() if line.startswith("class")] == [
        "class User:",
        "class S:",
    ]
