"""Pairs in which types change, at any depth."""

from tests.idl.evolution import Pair, Version
from tests.idl.evolution_signatures import BREAKS, IGNORED, LOSES, SWAPS, WHOLE

CLASS = {
    "dataclass": "@dataclass\nclass R:\n    {}",
    "pydantic": "class R(BaseModel):\n    {}",
    "struct": "class R(Struct):\n    {}",
    "tuple": "class R(NamedTuple):\n    {}",
    "closed": "class R(BaseModel):\n    model_config = ConfigDict(extra='forbid')\n    {}",
    "shut": "class R(Struct, forbid_unknown_fields=True):\n    {}",
    "array": "class R(Struct, array_like=True):\n    {}",
    "lean": "class R(Struct, omit_defaults=True):\n    {}",
}
COLOUR = "class Colour(Enum):\n    RED = 'red'\n    {}"
TREE = "@dataclass\nclass Tree:\n    value: {}\n    parts: 'list[Tree]'"


def takes(annotation: str, *values: str, types: str = "") -> Version:
    """A version that takes and gives values of one type."""
    calls, gives = [f"{value}," for value in values], list(values)
    return Version(f"f(a: {annotation}) -> {annotation}", types, calls, gives)


def asks(annotation: str, *values: str, types: str = "") -> Version:
    """A version that only takes them, as the first of two arguments."""
    calls = [f"{value}, 1" for value in values]
    return Version(f"f(a: {annotation}, b: int) -> None", types, calls)


def answers(annotation: str, *values: str, types: str = "") -> Version:
    """A version that only gives them."""
    return Version(f"f() -> {annotation}", types, gives=list(values))


def record(kind: str, fields: list[str], *values: str) -> Version:
    """A version that takes and gives a class with these fields."""
    return takes("R", *values, types=CLASS[kind].format("\n    ".join(fields)))


SCALARS = [
    Pair("int to float", asks("int", "5"), asks("float", "1.5"), ("risky", "whole"), BREAKS),
    Pair("float to int", asks("float", "1.5"), asks("int", "5"), BREAKS, ("risky", "whole")),
    Pair("int to str", takes("int", "5"), takes("str", "'x'"), BREAKS, BREAKS),
    Pair("bool to int", asks("bool", "True"), asks("int", "5"), WHOLE, BREAKS),
    Pair("int to Decimal", asks("int", "5"), asks("Decimal", "Decimal('.5')"), WHOLE, BREAKS),
    Pair(
        "Decimal to str",
        asks("Decimal", "Decimal('.5')"),
        asks("str", "'x'"),
        ("risky", "whole"),
        BREAKS,
    ),
    Pair(
        "datetime to str",
        asks("dt.datetime", "dt.datetime(2026, 1, 2)"),
        asks("str", "'x'"),
        ("risky", "whole"),
        BREAKS,
    ),
    Pair(
        "date to datetime",
        asks("dt.date", "dt.date(2026, 1, 2)"),
        asks("dt.datetime", "dt.datetime(2026, 1, 2, 3)"),
        ("risky", "changed"),
        BREAKS,
    ),
    Pair("UUID to int", asks("UUID", "UUID(int=5)"), asks("int", "5"), BREAKS, BREAKS),
    Pair("str to bytes", takes("str", "'x'"), takes("bytes", "b'\\xff'"), BREAKS, BREAKS),
    Pair(
        "lone bytes to memoryview",
        takes("bytes", "b'x'"),
        takes("memoryview", "memoryview(b'x')"),
        WHOLE,
        WHOLE,
    ),
    Pair("int to Any", asks("int", "5"), asks("Any", "'x'"), WHOLE, BREAKS),
    Pair("limit added", asks("int", "-1"), asks("Annotated[int, Field(ge=0)]", "1"), BREAKS, WHOLE),
    Pair(
        "lower limit raised",
        asks("Annotated[int, Field(ge=0)]", "0"),
        asks("Annotated[int, Field(ge=5)]", "5"),
        BREAKS,
        WHOLE,
    ),
    Pair(
        "pattern changed",
        asks("Annotated[str, Field(pattern='^a')]", "'a'"),
        asks("Annotated[str, Field(pattern='^b')]", "'b'"),
        BREAKS,
        BREAKS,
    ),
    Pair(
        "limit narrowed",
        asks("Annotated[str, Field(max_length=5)]", "'abcde'"),
        asks("Annotated[str, Field(max_length=3)]", "'abc'"),
        BREAKS,
        WHOLE,
    ),
]
CHOICES = [
    Pair("int to optional", asks("int", "5"), asks("int | None", "None", "5"), WHOLE, BREAKS),
    Pair("optional to int", asks("int | None", "None", "5"), asks("int", "5"), BREAKS, WHOLE),
    Pair("union spelled otherwise", takes("Optional[int]", "5"), takes("None | int", "5"), WHOLE,
         WHOLE),
    Pair("union widened", asks("int | str", "5", "'x'"), asks("int | str | list[int]", "5", "[1]"),
         WHOLE, BREAKS),
    Pair("union of a result widened", answers("int | str", "5"),
         answers("int | str | list[int]", "[1]"), BREAKS, WHOLE),
    Pair("union narrowed", asks("int | str", "5", "'x'"), asks("str", "'x'"), BREAKS, WHOLE),
    Pair("literal widened", asks("Literal['a']", "'a'"), asks("Literal['a', 'b']", "'b'"), WHOLE,
         BREAKS),
    Pair("literal to str", asks("Literal['a']", "'a'"), asks("str", "'x'"), WHOLE, BREAKS),
    Pair("literal to enum", takes("Literal['red']", "'red'"),
         takes("Colour", "Colour.RED", types=COLOUR.format("")), WHOLE, WHOLE),
    Pair(
        "enum value added, taken",
        asks("Colour", "Colour.RED", types=COLOUR.format("")),
        asks("Colour", "Colour.BLUE", types=COLOUR.format("BLUE = 'blue'")),
        WHOLE,
        BREAKS,
    ),
    Pair(
        "enum value added, given",
        answers("Colour", "Colour.RED", types=COLOUR.format("")),
        answers("Colour", "Colour.BLUE", types=COLOUR.format("BLUE = 'blue'")),
        BREAKS,
        WHOLE,
    ),
    Pair(
        "enum member renamed",
        takes("Colour", "Colour.RED", types=COLOUR.format("")),
        takes("Colour", "Colour.ROT", types="class Colour(Enum):\n    ROT = 'red'"),
        WHOLE,
        WHOLE,
    ),
]  # fmt: skip
RECORDS = [
    Pair("class renamed", asks("R", "R(x=1)", types=CLASS["pydantic"].format("x: int")),
         asks("Q", "Q(x=1)", types="class Q(BaseModel):\n    x: int"), WHOLE, WHOLE),
    Pair("field added with a default, taken", asks("R", "R(1)", types=CLASS["dataclass"].format(
         "x: int")), asks("R", "R(1, 2)", types=CLASS["dataclass"].format(
         "x: int\n    y: int = 0")), WHOLE, IGNORED),
    Pair("field added with a default, given", answers("R", "R(1)", types=CLASS["dataclass"].format(
         "x: int")), answers("R", "R(1, 2)", types=CLASS["dataclass"].format(
         "x: int\n    y: int = 0")), LOSES, WHOLE),
    Pair("field added without a default", record("struct", ["x: int"], "R(1)"),
         record("struct", ["x: int", "y: int"], "R(1, 2)"), BREAKS, BREAKS),
    Pair("field of a model added without a default", record("pydantic", ["x: int"], "R(x=1)"),
         record("pydantic", ["x: int", "y: int"], "R(x=1, y=2)"), BREAKS, BREAKS),
    Pair("field of a model became required", record("pydantic", ["x: int", "y: int = 0"], "R(x=1)"),
         record("pydantic", ["x: int", "y: int"], "R(x=1, y=2)"), WHOLE, WHOLE),
    Pair("field of a model made anew", record("pydantic", ["x: int"], "R(x=1)"),
         record("pydantic", ["x: int", "y: list[int] = Field(default_factory=lambda: [1])"],
         "R(x=1)"), LOSES, IGNORED),
    Pair("field removed", asks("R", "R(1, 2)", types=CLASS["struct"].format("x: int\n    y: int")),
         asks("R", "R(1)", types=CLASS["struct"].format("x: int")), IGNORED, BREAKS),
    Pair("field renamed", record("dataclass", ["x: int"], "R(1)"),
         record("dataclass", ["y: int"], "R(1)"), BREAKS, BREAKS),
    Pair("field renamed under its old alias", record("pydantic", ["x: int"], "R(x=1)"),
         record("pydantic", ["y: int = Field(alias='x')"], "R(x=1)"), WHOLE, WHOLE),
    Pair("fields reordered", record("dataclass", ["x: int", "y: str"], "R(1, 'a')"),
         record("dataclass", ["y: str", "x: int"], "R('a', 1)"), WHOLE, WHOLE),
    Pair("field became optional", asks("R", "R(1)", types=CLASS["struct"].format("x: int")),
         asks("R", "R(None)", types=CLASS["struct"].format("x: int | None")), WHOLE, BREAKS),
    Pair("field became required", record("dataclass", ["x: int", "y: int = 1"], "R(1)"),
         record("dataclass", ["x: int", "y: int"], "R(1, 2)"), WHOLE, WHOLE),
    Pair("default of a field changed", record("dataclass", ["x: int = 1"], "R()"),
         record("dataclass", ["x: int = 2"], "R()"), WHOLE, WHOLE),
    Pair("default of a field changed that is left out", record("lean", ["x: int = 1"], "R()"),
         record("lean", ["x: int = 2"], "R()"), ("risky", "changed"), ("risky", "changed")),
    Pair("field added to a closed class", record("closed", ["x: int"], "R(x=1)"),
         record("closed", ["x: int", "y: int = 0"], "R(x=1)"), BREAKS, BREAKS),
    Pair("field added to a shut Struct", asks("R", "R(1)", types=CLASS["shut"].format("x: int")),
         asks("R", "R(1)", types=CLASS["shut"].format("x: int\n    y: int = 0")), WHOLE, BREAKS),
    Pair("field deep inside retyped", takes("dict[str, list[Tree]]", "{'a': [Tree(1, [])]}",
         types=TREE.format("int")), takes("dict[str, list[Tree]]", "{'a': [Tree('x', [])]}",
         types=TREE.format("str")), BREAKS, BREAKS),
    Pair("dataclass to Struct", record("dataclass", ["x: int", "y: str = ''"], "R(1)"),
         record("struct", ["x: int", "y: str = ''"], "R(1)"), WHOLE, WHOLE),
    Pair("int of a Struct to Decimal", asks("R", "R(1)", types=CLASS["struct"].format("x: int")),
         asks("R", "R(Decimal('.5'))", types=CLASS["struct"].format("x: Decimal")), WHOLE, BREAKS),
    Pair("bool of a Struct to int", asks("R", "R(True)", types=CLASS["struct"].format("x: bool")),
         asks("R", "R(5)", types=CLASS["struct"].format("x: int")), BREAKS, BREAKS),
    Pair("named tuple reordered", record("tuple", ["x: int", "y: int"], "R(1, 2)"),
         record("tuple", ["y: int", "x: int"], "R(1, 2)"), SWAPS, SWAPS),
    Pair("named tuple extended", asks("R", "R(1)", types=CLASS["tuple"].format("x: int")),
         asks("R", "R(1)", types=CLASS["tuple"].format("x: int\n    y: int = 0")), WHOLE, BREAKS),
    Pair("array Struct extended", asks("R", "R(1)", types=CLASS["array"].format("x: int")),
         asks("R", "R(1)", types=CLASS["array"].format("x: int\n    y: int = 0")), WHOLE, IGNORED),
    Pair("named tuple to dataclass", record("tuple", ["x: int"], "R(1)"),
         record("dataclass", ["x: int"], "R(1)"), BREAKS, BREAKS),
    Pair("dataclass to dict", asks("R", "R(1)", types=CLASS["dataclass"].format("x: int")),
         asks("dict[str, int]", "{}"), WHOLE, BREAKS),
]  # fmt: skip
COLLECTIONS = [
    Pair("list to set", asks("list[int]", "[1]"), asks("set[int]", "{1}"), ("risky", "whole"),
         WHOLE),
    Pair("list of anything to set", asks("list[Any]", "[[1]]"), asks("set[Any]", "{1}"), BREAKS,
         WHOLE),
    Pair("list of lists to set of anything", asks("list[list[int]]", "[[1]]"),
         asks("set[Any]", "{1}"), BREAKS, BREAKS),
    Pair("list of int or str to set of anything", asks("list[int | str]", "[1]"),
         asks("set[Any]", "{1.5}"), ("risky", "whole"), BREAKS),
    Pair("set of sets to set of anything", asks("set[frozenset[int]]", "{frozenset([1])}"),
         asks("set[Any]", "{1}"), BREAKS, BREAKS),
    Pair("list to tuple", takes("list[int]", "[1]"), takes("tuple[int, ...]", "(1,)"), WHOLE,
         WHOLE),
    Pair("pair to list", asks("tuple[int, int]", "(1, 2)"), asks("list[int]", "[1]"), WHOLE,
         BREAKS),
    Pair("pair to triple", takes("tuple[int, int]", "(1, 2)"),
         takes("tuple[int, int, int]", "(1, 2, 3)"), BREAKS, BREAKS),
    Pair("items retyped", takes("list[int]", "[1]"), takes("list[str]", "['x']"), BREAKS, BREAKS),
    Pair("keys retyped", takes("dict[str, int]", "{'x': 1}"), takes("dict[int, int]", "{1: 1}"),
         BREAKS, BREAKS),
    Pair("values widened", asks("dict[str, int]", "{'x': 1}"),
         asks("dict[str, int | None]", "{'x': None}"), WHOLE, BREAKS),
]  # fmt: skip
TYPES: list[Pair] = SCALARS + CHOICES + RECORDS + COLLECTIONS
