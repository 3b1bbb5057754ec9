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

CHOICES: list[Pair] = [
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
