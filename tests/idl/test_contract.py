"""The canonical form says all that travels and nothing else; lock files hold it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from idl import (
    MalformedSchema,
    MethodFacts,
    MethodSchema,
    Parameter,
    SchemaError,
    ServiceDescription,
    canonical,
    compare,
    describe,
    dump_lock,
    load_lock,
)
from machnet_rpc.schemas import schema_of
from tests.idl.catalogue import Catalogue
from tests.idl.evolution import Version


def service(annotation: Any) -> ServiceDescription:
    schema = MethodSchema("s/f", (Parameter("a", annotation, True),), int)
    return describe("s", 1, [(schema, MethodFacts(timeout=1.0))])


def test_everything_is_in_the_canonical_form() -> None:
    form: Any = schema_of(Catalogue).to_json()
    assert form["name"] == "demo.catalogue"
    assert form["version"] == 3
    assert form["methods"]["find"] == {
        "kind": "unary",
        "parameters": [
            {"name": "name", "type": "str"},
            {"name": "limit", "type": "int", "default": "10", "may_be_absent": True},
            {
                "name": "level",
                "type": {"kind": "union", "of": ["none", {"kind": "ref", "name": "Level"}]},
                "default": "null",
                "may_be_absent": True,
            },
        ],
        "result": {"kind": "ref", "name": "Page[Entry]"},
        "timeout": 1.5,
        "idempotent": True,
        "lane": 0,
        "errors": ["Missing", "NotFound"],
    }
    assert {name: each["kind"] for name, each in form["methods"].items()} == {
        "chat": "bidirectional",
        "collect": "client_stream",
        "find": "unary",
        "measure": "unary",
        "put": "unary",
        "raw": "unary",
        "trade": "unary",
        "watch": "server_stream",
    }
    assert form["methods"]["raw"]["result"] == {"kind": "bytes", "codec": "raw"}
    types = form["definitions"]
    assert types["error Missing"]["fields"] == [
        {"name": "name", "type": "str"},
        {"name": "tried", "type": {"kind": "list", "of": ["int"]}},
    ]
    assert types["error NotFound"]["code"] == "NOT_FOUND"
    assert types["Colour"] == {"kind": "enum", "values": {"RED": "red", "BLUE": "blue"}}
    assert types["Entry"]["refuses_unknown"] is True
    fields = {each["name"]: each for each in types["Entry"]["fields"]}
    assert list(fields) == sorted(fields)
    assert fields["sizeBytes"]["type"] == {"kind": "int", "limits": {"ge": 0}}
    assert fields["took"]["default"] == '"PT0S"'
    assert fields["parents"]["type"] == {"kind": "list", "of": [{"kind": "ref", "name": "Entry"}]}
    assert types["Page[Entry]"]["fields"][1]["type"]["of"][1]["name"] == "Page[Entry]"
    assert types["Box[int]"]["fields"] == [{"name": "content", "type": "int"}]
    assert types["Extent"]["fields"][0] == {
        "name": "height", "type": "int", "default": "absent", "may_be_absent": True
    }  # fmt: skip
    assert types["Trade"]["fields"][-1] == {
        "name": "type", "type": {"kind": "literal", "values": ["trade"]}
    }  # fmt: skip


SAME = [
    ("a: int | None", "", "a: Optional[int]", ""),
    ("a: list[int]", "", "a: Sequence[int]", ""),
    ("a: Literal['x', 'y']", "", "a: Literal['y', 'x']", ""),
    ("a: int | str | None", "", "a: Union[None, str, int]", ""),
    (
        "a: R",
        "@dataclass\nclass R:\n    x: int\n    y: str",
        "a: R",
        "@dataclass\nclass R:\n    y: str\n    x: int",
    ),
    (
        "a: R",
        "class R(BaseModel):\n    x: int\n    y: 'Q'\nclass Q(BaseModel):\n    z: int",
        "a: R",
        "@dataclass\nclass Q:\n    z: int\n@dataclass\nclass R:\n    x: int\n    y: Q",
    ),
]


@pytest.mark.parametrize(("one", "types", "other", "other_types"), SAME)
def test_what_travels_alike_has_one_fingerprint(
    one: str, types: str, other: str, other_types: str
) -> None:
    first = Version([f"f({one}) -> None", "g() -> int"], types).schema
    second = Version(["g() -> int", f"f({other}) -> None"], other_types).schema
    assert canonical(first.to_json()) == canonical(second.to_json())
    assert first.fingerprint == second.fingerprint


def test_what_travels_otherwise_has_another_fingerprint() -> None:
    methods = [f"f(a: {each}) -> int" for each in ("int", "str", "int | None", "bool", "list[int]")]
    prints = {Version(each).schema.fingerprint for each in methods}
    assert len(prints) == len(methods)
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in prints)


def test_a_method_has_a_fingerprint_of_its_own() -> None:
    types = "@dataclass\nclass R:\n    x: {}"
    old = Version(["f(a: R) -> int", "g(a: str) -> int"], types.format("int")).schema
    new = Version(["f(a: R) -> int", "g(a: str) -> int", "h() -> int"], types.format("str")).schema
    assert old.method_fingerprint("g") == new.method_fingerprint("g")
    assert old.method_fingerprint("f") != new.method_fingerprint("f")


def test_fingerprints_do_not_depend_on_the_process() -> None:
    text = (
        "from machnet_rpc.schemas import schema_of; from tests.idl.catalogue import Catalogue; "
        "print(schema_of(Catalogue).fingerprint)"
    )
    argv = [sys.executable, "-c", text]
    found = {
        subprocess.run(
            argv, check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {schema_of(Catalogue).fingerprint}


def test_types_of_one_name_are_told_apart() -> None:
    made = "def made(t):\n    class R(BaseModel):\n        x: t\n    return R\n"
    types = f"{made}A, B = made(int), made(str)"
    form: Any = Version("f(a: A, b: B) -> None", types).schema.to_json()
    assert sorted(form["definitions"]) == ["R", "R 2"]


def test_a_lock_file_comes_back() -> None:
    schema = schema_of(Catalogue)
    text = dump_lock([schema], "tests.idl.catalogue:Catalogue")
    (back,), target = load_lock(text)
    assert target == "tests.idl.catalogue:Catalogue"
    assert back.fingerprint == schema.fingerprint
    assert dump_lock([back], target) == text


Q = "class Q(BaseModel):\n    x: int\n"


@pytest.mark.parametrize(
    "types",
    [
        f"{Q}class R(BaseModel, extra='allow'):\n    __pydantic_extra__: dict[str, Q]",
        "@dataclass\nclass R:\n    x: InitVar[int] = 1",
        "@dataclass\nclass R:\n    x: int = field(init=False, default=1)",
    ],
    ids=["typed unknown fields", "only read", "only sent"],
)
def test_what_fields_are_besides_their_types_comes_back(types: str) -> None:
    schema = Version("f(a: R) -> None", types).schema
    (back,), _ = load_lock(dump_lock([schema], "t"))
    assert back.fingerprint == schema.fingerprint
    assert compare(back, schema) == []


def test_a_lock_file_that_is_none_gets_a_sentence() -> None:
    whole: Any = json.loads(dump_lock([schema_of(Catalogue)], "t"))
    (entry,) = whole["services"]
    method = entry["methods"]["find"]
    for broken, words in (
        ("[", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "must be an object"),
        ({"format": 2}, "its format is 2, and this version reads 1"),
        (whole | {"services": [entry | {"version": 4}]}, "changed by hand"),
        (whole | {"services": [entry | {"definitions": {}}]}, "does not define it"),
        (whole | {"services": [entry | {"methods": {"f": method | {"kind": "x"}}}]}, "'x' is no"),
        (whole | {"services": [entry | {"methods": {"f": method | {"result": "x"}}}]}, "no kind"),
        (whole | {"services": [entry | {"methods": {"f": {"kind": "unary"}}}]}, "must be numbers"),
        *(
            (whole | {"services": [entry | {"methods": {"f": method | changed}}]}, words)
            for changed, words in (
                ({"kind": {}}, "kind must be a string"),
                ({"timeout": 10**400}, "is no timeout"),
                ({"errors": [5]}, "errors must be a string"),
                ({"result": {"kind": "bytes", "codec": []}}, "codec must be a string"),
                ({"result": {"kind": "union"}}, "a union of nothing"),
            )
        ),
        (whole | {"services": [entry | {"definitions": {"A": {"kind": []}}}]}, "must be a string"),
    ):
        text = broken if isinstance(broken, str) else json.dumps(broken)
        with pytest.raises(MalformedSchema, match=words):
            load_lock(text)


def test_types_without_a_schema_are_named() -> None:
    with pytest.raises(SchemaError, match="s/f: a: 5 has no schema"):
        service(list[5])  # type: ignore[valid-type]
