"""Pairs about values that are picked out: by a tag, a limit, strictness or the keys of a dict."""

from tests.idl.evolution import Pair
from tests.idl.evolution_signatures import BREAKS, IGNORED, WHOLE
from tests.idl.evolution_types import CLASS, asks

X = CLASS["dataclass"].format("x: int")
ALTERNATIVES = """
class A(BaseModel):
    k: Literal['a'] = 'a'
    x: int = 0
class B(BaseModel):
    k: Literal['b'] = 'b'
    x: int = 0
"""
TAGGED = "Annotated[A | B, Field(discriminator='k')]"
FIELD = f"{ALTERNATIVES}\nclass R(BaseModel):\n    of: A | B = Field(discriminator='k')"
NONE_YET = "class A(BaseModel):\n    x: int = 0\nclass R(BaseModel):\n    of: A"
BINARY = "class E(Enum):\n    A = b'a'\n    {}"
FLOAT = "Annotated[float, Field({})]"
INT = "Annotated[int, Field({})]"

PICKED = (
    ALTERNATIVES
    + """
def kind(value):
    return value.get('k') if isinstance(value, dict) else value.k
"""
)
PICKING = "Annotated[Annotated[A, Tag('a')] | Annotated[B, Tag('b')], {}]"
UNTAGGED = "class A(BaseModel):\n    x: int = 0"
FIELD_PICKED = f"{PICKED}\nclass R(BaseModel):\n    of: " + PICKING.format("Field()").replace(
    "Field()", "Field(discriminator=Discriminator(kind))"
)
STRUCT = "class R(Struct):\n    x: {}"
LEVEL = "class E(IntEnum):\n    A = 0\n    B = 1\n    {}"
DATA = "@dataclass\nclass Q:\n    x: {}\nclass R(Struct):\n    q: Q"
PYDANTIC, MSGSPEC = "Annotated[int, Field(gt=5)]", "Annotated[int, msgspec.Meta(gt=5)]"

CODECS: list[Pair] = [
    Pair("pydantic's limits, which a Struct does not keep to, to those of msgspec",
         asks("R", "R(3)", types=STRUCT.format(PYDANTIC)),
         asks("R", "R(7)", types=STRUCT.format(MSGSPEC)), BREAKS, WHOLE),
    Pair("pydantic's limits within a Struct to none", asks("R", "R(3)", types=STRUCT.format("int")),
         asks("R", "R(3)", types=STRUCT.format(PYDANTIC)), WHOLE, WHOLE),
    Pair("pydantic's limits of a dataclass in a Struct",
         asks("R", "R(Q(3))", types=DATA.format(PYDANTIC)),
         asks("R", "R(Q(7))", types=DATA.format(MSGSPEC)), BREAKS, WHOLE),
    Pair("msgspec's limits, which a model does not keep to, to those of pydantic",
         asks("R", "R(x=3)", types=CLASS["pydantic"].format(f"x: {MSGSPEC}")),
         asks("R", "R(x=7)", types=CLASS["pydantic"].format(f"x: {PYDANTIC}")), BREAKS, WHOLE),
    Pair("msgspec's limits within a model to none",
         asks("R", "R(x=3)", types=CLASS["pydantic"].format("x: int")),
         asks("R", "R(x=3)", types=CLASS["pydantic"].format(f"x: {MSGSPEC}")), WHOLE, WHOLE),
    Pair("times to times with a zone", asks("R", "R(dt.datetime(2026, 1, 2))",
         types=STRUCT.format("dt.datetime")),
         asks("R", "R(dt.datetime(2026, 1, 2, tzinfo=dt.UTC))",
              types=STRUCT.format("Annotated[dt.datetime, msgspec.Meta(tz=True)]")),
         BREAKS, WHOLE),
    Pair("field that a dataclass makes, unless it is in a Struct",
         asks("R", "R(Q('a'))", types=DATA.format("str")),
         asks("R", "R(Q())", types=DATA.format("int = field(init=False, default=5)")),
         BREAKS, BREAKS),
]  # fmt: skip
STRICT = "Annotated[{}, Field(strict=True)]"
BOOLS: list[Pair] = [
    Pair("enum of 0 and 1 to bool", asks("E", "E.A", "E.B", types=LEVEL.format("")),
         asks("bool", "False", "True"), WHOLE, WHOLE),
    Pair("enum of 0, 1 and 2 to bool", asks("E", "E.C", types=LEVEL.format("C = 2")),
         asks("bool", "True"), BREAKS, WHOLE),
    Pair("enum of 0 and 1 to strict bool", asks("E", "E.B", types=LEVEL.format("")),
         asks(STRICT.format("bool"), "True"), BREAKS, WHOLE),
    Pair("strict enum of 0 and 1 to bool", asks(STRICT.format("E"), "E.B", types=LEVEL.format("")),
         asks("bool", "True"), WHOLE, WHOLE),
    Pair("enum of 0 and 1 to bool in a Struct",
         asks("R", "R(E.B)", types=f"{LEVEL.format('')}\n{STRUCT.format('E')}"),
         asks("R", "R(True)", types=STRUCT.format("bool")), BREAKS, BREAKS),
    Pair("literal 1 to bool", asks("Literal[1]", "1"), asks("bool", "False"), WHOLE, BREAKS),
    Pair("literal 1 to literal True", asks("Literal[1]", "1"), asks("Literal[True]", "True"),
         WHOLE, WHOLE),
    Pair("both bools to bool", asks("Literal[True, False]", "True", "False"),
         asks("bool", "False", "True"), WHOLE, WHOLE),
    Pair("words to bool", asks("Literal['yes', 'no']", "'no'"), asks("bool", "True"),
         ("breaking", "changed"), BREAKS),
    Pair("keys that are 0 or 1 to bool", asks("dict[E, int]", "{E.B: 2}", types=LEVEL.format("")),
         asks("dict[bool, int]", "{False: 2}"), WHOLE, WHOLE),
    Pair("enum of 0 and 1 to bool or text", asks("E", "E.A", types=LEVEL.format("")),
         asks("bool | str", "'x'"), WHOLE, BREAKS),
]  # fmt: skip
CHOICES: list[Pair] = [
    *CODECS,
    *BOOLS,
    Pair("class to alternatives by a function", asks("A", "A(x=1)", types=UNTAGGED),
         asks(PICKING.format("Discriminator(kind)"), "A(x=1)", types=PICKED),
         ("risky", "fails"), IGNORED),
    Pair("alternatives by a field to those by a function", asks(TAGGED, "A(x=1)",
         types=ALTERNATIVES), asks(PICKING.format("Discriminator(kind)"), "B(x=1)", types=PICKED),
         ("risky", "whole"), WHOLE),
    Pair("field to alternatives by a function", asks("R", "R(of=A(x=1))", types=NONE_YET),
         asks("R", "R(of=B(x=1))", types=FIELD_PICKED), ("risky", "fails"), IGNORED),
    Pair("alternatives by a function to the same",
         asks(PICKING.format("Discriminator(kind)"), "A(x=1)", types=PICKED),
         asks(PICKING.format("Field(discriminator=Discriminator(kind))"), "B(x=1)", types=PICKED),
         WHOLE, WHOLE),
    Pair("class to alternatives by a discriminator", asks("R", "R(1)", types=X),
         asks(TAGGED, "A(x=1)", types=ALTERNATIVES), BREAKS, IGNORED),
    Pair("field to alternatives by a discriminator", asks("R", "R(of=A(x=1))", types=NONE_YET),
         asks("R", "R(of=B(x=1))", types=FIELD), BREAKS, IGNORED),
    Pair("class with the tag to alternatives", asks("A", "A(x=1)", types=ALTERNATIVES),
         asks(TAGGED, "B(x=1)", types=ALTERNATIVES), WHOLE, BREAKS),
    Pair("class to dict by numbers", asks("R", "R(1)", types=X),
         asks("dict[int, int]", "{1: 1}"), BREAKS, BREAKS),
    Pair("class to dict by some names", asks("R", "R(1)", types=X),
         asks("dict[Literal['x', 'y'], int]", "{'y': 1}"), WHOLE, BREAKS),
    Pair("literal to int within limits that it keeps", asks("Literal[2, 4]", "2", "4"),
         asks(INT.format("gt=1, le=6, multiple_of=2"), "6"), WHOLE, BREAKS),
    Pair("literal to int within limits", asks("Literal[2, 4]", "4"),
         asks(INT.format("lt=4"), "3"), BREAKS, BREAKS),
    Pair("literal to multiples", asks("Literal[2, 3]", "3"),
         asks(INT.format("multiple_of=2"), "4"), BREAKS, BREAKS),
    Pair("literal to short str", asks("Literal['a', 'abc']", "'abc'"),
         asks("Annotated[str, Field(max_length=2)]", "'ab'"), BREAKS, BREAKS),
    Pair("text of one type to that or str", asks("UUID", "UUID(int=5)"),
         asks("UUID | str", "'x'"), ("risky", "whole"), BREAKS),
    Pair("text of one type, optional, to that or str", asks("UUID | None", "UUID(int=5)"),
         asks("UUID | str | None", "'x'"), ("risky", "whole"), BREAKS),
    Pair("text of one type or str to one type more", asks("UUID | str", "UUID(int=5)"),
         asks("UUID | str | float", "1.5"), WHOLE, BREAKS),
    Pair("Decimal to int or that", asks("Decimal", "Decimal(3)"),
         asks("int | Decimal", "Decimal('.5')"), ("risky", "changed"), ("compatible", "whole")),
    Pair("int to types that are not quite so", asks("int", "2 ** 60 + 1"),
         asks("float | Decimal", "1.5"), ("risky", "changed"), BREAKS),
    Pair("int among types that are not quite so", asks("int | float | Decimal", "2 ** 60 + 1"),
         asks("float | Decimal", "1.5"), ("risky", "changed"), ("risky", "whole")),
    Pair("int to that or others", asks("int", "2 ** 60 + 1"),
         asks("float | Decimal | int", "1.5"), WHOLE, BREAKS),
    Pair("bytes to the same as text", asks("Literal[b'a']", "b'a'"), asks("Literal['a']", "'a'"),
         BREAKS, BREAKS),
    Pair("enum of bytes to one of more", asks("E", "E.A", types=BINARY.format("")),
         asks("E", "E.B", types=BINARY.format("B = b'\\xff'")), WHOLE, BREAKS),
    Pair("enum of bytes to bytes", asks("E", "E.A", types=BINARY.format("")),
         asks("bytes", "b'b'"), WHOLE, BREAKS),
    Pair("literal to float", asks("Literal[2, 4]", "2", "4"), asks("float", "1.5"), WHOLE, BREAKS),
    Pair("literal to a float that does not hold it", asks("Literal[2, 9007199254740993]",
         "9007199254740993"), asks("float", "1.5"), ("risky", "changed"), BREAKS),
    Pair("integers above a number to integers from the next", asks(INT.format("gt=0, lt=9"), "1"),
         asks(INT.format("ge=1, le=8"), "8"), WHOLE, WHOLE),
    Pair("numbers above another to numbers from it", asks(FLOAT.format("gt=0"), "0.5"),
         asks(FLOAT.format("ge=0"), "0.0"), WHOLE, BREAKS),
    Pair("multiples to multiples of a part", asks(INT.format("multiple_of=10"), "20"),
         asks(INT.format("multiple_of=5"), "5"), WHOLE, BREAKS),
    Pair("int to a finite float", asks("int", "5"), asks(FLOAT.format("allow_inf_nan=False"),
         "1.5"), ("risky", "whole"), BREAKS),
    Pair("float to one that says what is so", asks("float", "float('inf')"),
         asks(FLOAT.format("allow_inf_nan=True"), "float('inf')"), WHOLE, WHOLE),
    Pair("any to any within limits", asks("Any", "5"),
         asks("Annotated[Any, Field(ge=6)]", "6"), BREAKS, WHOLE),
    Pair("bool to strict int", asks("bool", "True"), asks(INT.format("strict=True"), "5"), BREAKS,
         BREAKS),
    Pair("literal bool to strict int", asks("Literal[True]", "True"),
         asks(INT.format("strict=True"), "5"), BREAKS, BREAKS),
    Pair("int to strict int", asks("int", "5"), asks(INT.format("strict=True"), "5"), WHOLE, WHOLE),
]  # fmt: skip
