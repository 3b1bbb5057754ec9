"""Protobuf's own compiler takes what is exported, and gives what is imported."""

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import Field

from idl import MethodFacts as Facts
from idl import ProtoError, compare, import_proto, proto_of
from idl.contract import describe
from idl.schema import MethodSchema, Parameter
from machnet_rpc.schemas import schema_of
from tests.idl.catalogue import Catalogue, Range

PROTOS = Path(__file__).parent / "protos"
ROOT = Path(__file__).parents[2]

pytest.importorskip("grpc_tools")


def pool_of(folder: Path, text: str, name: str = "made.proto") -> Any:
    """A pool of what protobuf's compiler makes of the text."""
    protoc: Any = importlib.import_module("grpc_tools.protoc")
    descriptors: Any = importlib.import_module("google.protobuf.descriptor_pb2")
    pools: Any = importlib.import_module("google.protobuf.descriptor_pool")
    (folder / name).write_text(text, encoding="utf-8")
    known = Path(protoc.__file__).parent / "_proto"
    argv = ["protoc", "--include_imports", f"--descriptor_set_out={folder / 'set'}"]
    assert protoc.main([*argv, f"-I{folder}", f"-I{known}", str(folder / name)]) == 0, text
    compiled = descriptors.FileDescriptorSet.FromString((folder / "set").read_bytes())
    pool = pools.DescriptorPool()
    for file in compiled.file:
        pool.Add(file)
    return pool


def test_export_compiles(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, proto_of(schema_of(Catalogue)))
    methods = pool.FindServiceByName("demo.Catalogue").methods_by_name
    assert {name: (m.client_streaming, m.server_streaming) for name, m in methods.items()} == {
        "Chat": (True, True), "Collect": (True, False), "Find": (False, False),
        "Measure": (False, False), "Put": (False, False), "Raw": (False, False),
        "Trade": (False, False), "Watch": (False, True),
    }  # fmt: skip
    assert methods["Put"].input_type.full_name == "demo.Entry"
    assert methods["Put"].output_type.full_name == "google.protobuf.Empty"
    entry = pool.FindMessageTypeByName("demo.Entry").fields_by_name
    assert [entry[name].number for name in ("name", "sizeBytes", "price")] == [1, 2, 3]
    assert entry["when"].message_type.full_name == "google.protobuf.Timestamp"
    assert entry["either_string"].containing_oneof.name == "either"
    assert entry["counts"].message_type.GetOptions().map_entry
    assert [v.name for v in entry["colour"].enum_type.values] == [
        "COLOUR_UNSPECIFIED", "COLOUR_RED", "COLOUR_BLUE"
    ]  # fmt: skip
    assert {v.name: v.number for v in entry["level"].enum_type.values} == {
        "LEVEL_LOW": 0, "LEVEL_HIGH": 7
    }  # fmt: skip


def test_messages_of_the_export_round_trip(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, proto_of(schema_of(Catalogue)))
    factory: Any = importlib.import_module("google.protobuf.message_factory")
    formats: Any = importlib.import_module("google.protobuf.json_format")
    kind = factory.GetMessageClass(pool.FindMessageTypeByName("demo.FindRequest"))
    page = factory.GetMessageClass(pool.FindMessageTypeByName("demo.PageEntry"))
    for message, plain in (
        (kind, {"name": "it", "limit": "5", "level": "LEVEL_HIGH"}),
        (
            page,
            {
                "items": [
                    {
                        "name": "it", "sizeBytes": "5", "price": "1.5", "tags": ["a"],
                        "when": "2026-01-02T03:04:05Z", "took": "1.500s", "either_string": "x",
                        "pair": {"item_1": "1", "item_2": "x"}, "counts": {"a": "1"},
                        "parents": [{"name": "parent"}], "extra": {"a": [1.0, None]},
                        "box": {"content": "3"}, "colour": "COLOUR_RED", "blob": "YWJj",
                    }
                ]
            },
        ),
    ):  # fmt: skip
        sent = formats.ParseDict(plain, message())
        back = message.FromString(sent.SerializeToString())
        assert back == sent
        assert formats.MessageToDict(back, preserving_proto_field_name=True) == plain


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (dict[float, int], "float cannot be a key of a map"),
        (Path, "Path has no counterpart"),
        (dict[Range, int], "cannot be a key"),
    ],
    ids=str,
)
def test_what_proto3_cannot_say_is_refused(annotation: Any, words: str) -> None:
    schema = MethodSchema("s/f", (Parameter("a", annotation, True),), int)
    with pytest.raises(ProtoError, match=f"s/f: .*{words}"):
        proto_of(describe("s", 1, [(schema, Facts(timeout=1.0))]))


class Sign(IntEnum):
    MORE = 1
    NONE = 0
    LESS = -1


class Far(IntEnum):
    BELOW = -(2**40)
    ABOVE = 5


def test_what_proto3_asks_for_is_in_the_export(tmp_path: Path) -> None:
    small, narrow = (Annotated[int, Field(ge=0, lt=limit)] for limit in (100, 2**32))
    given = {"sign": Sign, "far": Far, "small": small, "narrow": narrow, "id": UUID | date | str}
    parameters = tuple(Parameter(name, each, True) for name, each in given.items())
    schema = MethodSchema("s/f", parameters, int)
    pool = pool_of(tmp_path, proto_of(describe("s", 1, [(schema, Facts(timeout=1.0))])))
    fields = pool.FindMessageTypeByName("s.FRequest").fields_by_name
    assert {
        name: [(each.name, each.number) for each in fields[name].enum_type.values]
        for name in ("sign", "far")
    } == {
        "sign": [("SIGN_NONE", 0), ("SIGN_MORE", 1), ("SIGN_LESS", -1)],
        "far": [("FAR_UNSPECIFIED", 0), ("FAR_BELOW", 1), ("FAR_ABOVE", 2)],
    }
    assert [name for name in fields if fields[name].containing_oneof] == [
        "id_string", "id_string_6", "id_string_7"
    ]  # fmt: skip
    unsigned = fields["small"].TYPE_UINT64, fields["narrow"].TYPE_UINT32
    assert (fields["small"].type, fields["narrow"].type) == unsigned


@pytest.fixture(scope="module")
def greeter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    path = tmp_path_factory.mktemp("imported") / "greeter.py"
    path.write_text(import_proto([PROTOS / "greeter.proto"]), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("imported_greeter", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["imported_greeter"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["imported_greeter"]


def test_import_makes_a_contract(greeter: ModuleType) -> None:
    service = schema_of(greeter.Greeter)
    assert service.name == "demo.v1.Greeter"
    assert {name: method.kind for name, method in service.methods.items()} == {
        "chat": "bidirectional",
        "collect": "client_stream",
        "reset": "unary",
        "say_hello": "unary",
        "watch": "server_stream",
    }
    request = service.definitions.by_name["HelloRequest"]
    shapes = {member.name: str(member.shape) for member in request.members}
    assert shapes["times"] == f"int (ge={-(2**31)}, lt={2**31}) | None"
    assert shapes["by_name"] == "dict[str, HelloRequestPart]"
    assert shapes["when"] == "datetime | None"
    assert shapes["extra"] == "dict[str, any] | None"
    assert shapes["price"] == "Money | None"
    assert (shapes["class_"], shapes["datetime_"]) == ("bytes", "float")
    assert greeter.HelloRequest(name="x").tone == greeter.Tone.TONE_UNSPECIFIED
    assert "At most one of text, part is set (choice)." in greeter.HelloRequest.__doc__
    assert greeter.HelloRequest.__doc__.count("At most one of") == 1  # `optional` is no choice
    assert not service.methods["reset"].parameters


def test_each_scalar_is_imported_with_its_limits(tmp_path: Path) -> None:
    limits = {
        "int32": (-(2**31), 2**31), "sint32": (-(2**31), 2**31), "sfixed32": (-(2**31), 2**31),
        "int64": (-(2**63), 2**63), "sint64": (-(2**63), 2**63), "sfixed64": (-(2**63), 2**63),
        "uint32": (0, 2**32), "fixed32": (0, 2**32), "uint64": (0, 2**64), "fixed64": (0, 2**64),
    }  # fmt: skip
    others = {"float": "float", "double": "float", "bool": "bool", "string": "str"}
    kinds = [*limits, *others, "bytes"]
    fields = " ".join(f"{kind} {kind}_ = {at};" for at, kind in enumerate(kinds, 1))
    (tmp_path / "all.proto").write_text(
        f'syntax = "proto3"; message A {{ {fields} }} service S {{ rpc F(A) returns (A); }}',
        encoding="utf-8",
    )
    sys.modules["imported_all"] = module = ModuleType("imported_all")
    try:
        exec(import_proto([tmp_path / "all.proto"]), vars(module))
        members = schema_of(module.S).definitions.by_name["A"].members
    finally:
        del sys.modules["imported_all"]
    assert {each.name.rstrip("_"): str(each.shape) for each in members} == {
        **{kind: f"int (ge={least}, lt={most})" for kind, (least, most) in limits.items()},
        **others,
        "bytes": "bytes",
    }


def test_import_is_clean(greeter: ModuleType) -> None:
    folder = Path(str(greeter.__file__)).parent
    two = folder / "two.py"
    two.write_text(import_proto([PROTOS / "legacy" / "two.proto"]), encoding="utf-8")
    paths = [str(greeter.__file__), str(two)]
    tool = [sys.executable, "-m"]
    for argv in (
        [*tool, "ruff", "format", "--isolated", "--check", *paths],
        [*tool, "ruff", "format", "--isolated", "--line-length=100", "--check", *paths],
        [*tool, "ruff", "check", "--isolated", "--select=E,F,UP,N", "--line-length=100", *paths],
        [*tool, "mypy", "--strict", f"--cache-dir={folder}", *paths],
    ):
        done = subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_export_of_an_import_is_imported_alike(greeter: ModuleType, tmp_path: Path) -> None:
    service = schema_of(greeter.Greeter)
    (tmp_path / "again.proto").write_text(proto_of(service), encoding="utf-8")
    sys.modules["imported_again"] = again = ModuleType("imported_again")
    try:
        exec(import_proto([tmp_path / "again.proto"]), vars(again))
        assert compare(service, schema_of(again.Greeter)) == []
    finally:
        del sys.modules["imported_again"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('syntax = "proto3"; message A {}', "declares no service"),
        ('syntax = "proto3"; service S {}', "declares no service with a method"),
        (
            """
            syntax = "proto2";
            message A { extensions 4 to 9; }
            extend A { optional int32 more = 4; }
            service S { rpc F(A) returns (A); }
            """,
            "more extends A: extensions have no counterpart",
        ),
        ('syntax = "proto3"; service S { rpc F(A) returns (A); }', "cannot be compiled"),
    ],
)
def test_what_cannot_be_imported_gets_a_sentence(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.proto").write_text(text, encoding="utf-8")
    with pytest.raises(ProtoError, match=words):
        import_proto([tmp_path / "bad.proto"])


def test_without_a_compiler_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "grpc_tools", None)
    monkeypatch.setitem(sys.modules, "grpc_tools.protoc", None)
    with pytest.raises(ProtoError, match=r"pip install 'machnet-rpc\[proto\]'"):
        import_proto([PROTOS / "greeter.proto"])


def test_names_that_would_clash_and_what_is_only_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "odd.proto").write_text(
        """
        syntax = "proto3";
        import "google/protobuf/empty.proto";
        import "google/protobuf/field_mask.proto";
        enum Odd { NONE = 0; mro = 1; name = 2; _x_ = 3; }
        message A {
          oneof choice { google.protobuf.Empty nothing = 1; Odd odd = 2; }
          google.protobuf.FieldMask mask = 3;
          string __kind = 4;
        }
        service S {
          rpc GetA(A) returns (A);
          rpc get_a(A) returns (google.protobuf.Empty);
        }
        """,
        encoding="utf-8",
    )
    sys.modules["imported_odd"] = odd = ModuleType("imported_odd")
    try:
        exec(import_proto([tmp_path / "odd.proto"]), vars(odd))
        service = schema_of(odd.S)
        assert {name: str(each.result) for name, each in service.methods.items()} == {
            "get_a": "A",
            "get_a_": "None",
        }
        members = service.definitions.by_name["A"].members
        assert {each.name: str(each.shape) for each in members} == {
            "nothing": "dict[str, any] | None",
            "odd": "Odd | None",
            "mask": "list[str] | None",
            "kind": "str",
        }
        assert [each.value for each in odd.Odd] == [0, 1, 2, 3]
        with pytest.raises(ProtoError, match="another method is called GetA"):
            proto_of(service)
    finally:
        del sys.modules["imported_odd"]
