"""Pairs about fields that travel one way only, or under another name."""

from tests.idl.evolution import Fate, Pair
from tests.idl.evolution_signatures import BREAKS, WHOLE
from tests.idl.evolution_types import CLASS, asks

MODEL = CLASS["pydantic"]
DATA = CLASS["dataclass"]
DICT = "class R(TypedDict):\n    {}"
MADE = "@pydantic.dataclasses.dataclass\nclass R:\n    {}"
OLD = asks("R", "R(a=1, x='b')", types=MODEL.format("a: int\n    x: str"))
SAME = asks("R", "R(a=1, x=2)", types=MODEL.format("a: int\n    x: int = 0"))
TAKEN: Fate = ("compatible", "loses")  # the handler has it, and does not hand it on

MEMBERS: list[Pair] = [
    Pair("field to one of another type that is not written", OLD,
         asks("R", "R(a=1)", types=MODEL.format("a: int\n    x: int = Field(0, exclude=True)")),
         BREAKS, BREAKS),
    Pair("field to one that is not written", SAME,
         asks("R", "R(a=1)", types=MODEL.format("a: int\n    x: int = Field(0, exclude=True)")),
         TAKEN, WHOLE),
    Pair("field to one that is not written, in a closed model", SAME,
         asks("R", "R(a=1)", types=CLASS["closed"].format(
              "a: int\n    x: int = Field(0, exclude=True)")), TAKEN, WHOLE),
    Pair("field to one that is not written, in a dataclass", OLD,
         asks("R", "R(1)", types=DATA.format("a: int\n    x: Annotated[int, Field(exclude=True)]"
              " = 0")), BREAKS, BREAKS),
    Pair("field to one that is not written, of a typed dict", OLD,
         asks("R", "{'a': 1}", types=DICT.format(
              "a: int\n    x: NotRequired[Annotated[int, Field(exclude=True)]]")), BREAKS, BREAKS),
    Pair("field to one that may be left out", SAME,
         asks("R", "R(a=1, x=5)", types=MODEL.format(
              "a: int\n    x: int = Field(0, exclude_if=lambda x: x == 5)")), WHOLE,
         ("compatible", "whole")),
    Pair("needed field to one that may be left out", OLD,
         asks("R", "R(a=1, x='')", types=MODEL.format(
              "a: int\n    x: str = Field('', exclude_if=lambda x: not x)")), WHOLE, BREAKS),
    Pair("field to an InitVar of another type", OLD,
         asks("R", "R(1)", types=DATA.format("a: int\n    x: InitVar[int] = 0")), BREAKS, BREAKS),
    Pair("field to an InitVar", SAME,
         asks("R", "R(1)", types=DATA.format("a: int\n    x: InitVar[int] = 0")), TAKEN, WHOLE),
    Pair("field to an InitVar of pydantic's dataclass", OLD,
         asks("R", "R(1)", types=MADE.format("a: int\n    x: InitVar[int] = 0")), BREAKS, BREAKS),
    Pair("field to one that pydantic's dataclass makes", SAME,
         asks("R", "R(1)", types=MADE.format("a: int\n    x: int = field(init=False, default=5)")),
         ("risky", "changed"), WHOLE),
    Pair("InitVar added",
         asks("R", "R(1)", types=DATA.format("a: int")),
         asks("R", "R(1)", types=DATA.format("a: int\n    x: InitVar[int] = 0")), WHOLE, WHOLE),
    Pair("field of a dataclass to another name", asks("R", "R(a=1)", types=DATA.format("a: int")),
         asks("R", "R(a=1)", types=DATA.format("a: Annotated[int, Field(alias='b')]")),
         BREAKS, BREAKS),
    Pair("field of a dataclass that has a default to another name",
         asks("R", "R(a=1)", types=DATA.format("a: int = 0")),
         asks("R", "R(a=1)", types=DATA.format("a: Annotated[int, Field(alias='b')] = 0")),
         ("risky", "changed"), ("risky", "changed")),
    Pair("field of a typed dict to another name",
         asks("R", "{'a': 1}", types=DICT.format("a: int")),
         asks("R", "{'a': 1}", types=DICT.format("a: Annotated[int, Field(alias='b')]")),
         BREAKS, BREAKS),
]  # fmt: skip
