"""Pairs about what pydantic's configuration says: of a class, and of the classes in its fields."""

from tests.idl.evolution import Pair, Version
from tests.idl.evolution_signatures import BREAKS, IGNORED, WHOLE
from tests.idl.evolution_types import CLASS, asks

TEXT = "Annotated[str, StringConstraints({})]"
STRICT = "Annotated[{}, Field(strict=True)]"
INNER = {
    "dataclass": "@dataclass\nclass Q:\n    {}\n",
    "typed dict": "class Q(TypedDict):\n    {}\n",
    "named tuple": "class Q(NamedTuple):\n    {}\n",
}
SHUT = "    model_config = ConfigDict({})\n    "


def model(config: str, field: str, value: str, before: str = "") -> Version:
    """A version that takes a model so configured with one field `x`."""
    inner = SHUT.format(config) + field
    return asks("R", f"R(x={value})", types=f"{before}class R(BaseModel):\n{inner}")


STRICTNESS: list[Pair] = [
    Pair("int to strict float", asks("int", "5"), asks(STRICT.format("float"), "1.5"),
         ("risky", "whole"), BREAKS),
    Pair("int to strict Decimal", asks("int", "5"),
         asks(STRICT.format("Decimal"), "Decimal('.5')"), WHOLE, BREAKS),
    Pair("UUID to strict str", asks("UUID", "UUID(int=5)"), asks(STRICT.format("str"), "'x'"),
         ("risky", "whole"), BREAKS),
    Pair("date to strict datetime", asks("dt.date", "dt.date(2026, 1, 2)"),
         asks(STRICT.format("dt.datetime"), "dt.datetime(2026, 1, 2, 3)"), BREAKS, BREAKS),
]  # fmt: skip
ALTERED: list[Pair] = [
    Pair("text to text without blanks around it", asks("str", "' a'"),
         asks(TEXT.format("strip_whitespace=True"), "'a'"), ("risky", "changed"), WHOLE),
    Pair("literal to text in lower case", asks("Literal['A']", "'A'"),
         asks(TEXT.format("to_lower=True"), "'a'"), ("breaking", "changed"), BREAKS),
    Pair("literal to text that is in lower case", asks("Literal['a']", "'a'"),
         asks(TEXT.format("to_lower=True"), "'b'"), WHOLE, BREAKS),
]  # fmt: skip
CONFIGURED: list[Pair] = [
    Pair("bool to int of a strict model", model("", "x: bool", "True"),
         model("strict=True", "x: int", "5"), BREAKS, BREAKS),
    Pair("bool to int that is not strict in a strict model", model("", "x: bool", "True"),
         model("strict=True", "x: int = Field(strict=False)", "5"), WHOLE, BREAKS),
    Pair("texts of a model with short ones", model("", "x: list[str]", "['abcd']"),
         model("str_max_length=3", "x: list[str]", "['abc']"), BREAKS, WHOLE),
    Pair("text with a limit of its own in a model with short ones",
         model("", "x: str = Field(max_length=9)", "'abcd'"),
         model("str_max_length=3", "x: str = Field(max_length=9)", "'abcd'"), WHOLE, WHOLE),
    Pair("floats of a model with finite ones", model("", "x: float", "float('inf')"),
         model("allow_inf_nan=False", "x: float", "1.5"), BREAKS, WHOLE),
    Pair("texts of a model that makes them upper case", model("", "x: str", "'a'"),
         model("str_to_upper=True", "x: str", "'A'"), ("risky", "changed"), WHOLE),
    *(
        Pair(f"bool to int of a {kind} in a strict model",
             model("", "x: Q", value.format("True"), INNER[kind].format("y: bool")),
             model("strict=True", "x: Q", value.format("5"), INNER[kind].format("y: int")),
             BREAKS, BREAKS)
        for kind, value in
        (("dataclass", "Q({})"), ("typed dict", "{{'y': {}}}"), ("named tuple", "Q({})"))
    ),
    Pair("field removed from a dataclass in a closed model",
         model("", "x: Q", "Q(1, 2)", INNER["dataclass"].format("y: int\n    z: int")),
         model("extra='forbid'", "x: Q", "Q(1)", INNER["dataclass"].format("y: int")), BREAKS,
         BREAKS),
    Pair("field removed from a model in a closed model",
         model("", "x: Q", "Q(y=1, z=2)", "class Q(BaseModel):\n    y: int\n    z: int\n"),
         model("extra='forbid'", "x: Q", "Q(y=1)", "class Q(BaseModel):\n    y: int\n"),
         IGNORED, BREAKS),
    Pair("open typed dict to a closed model",
         asks("Q", "{'y': 1, 'z': 2}", types=INNER["typed dict"].format(
             "__pydantic_config__ = ConfigDict(extra='allow')\n    y: int")),
         asks("R", "R(y=1)", types=CLASS["closed"].format("y: int")), BREAKS, WHOLE),
    Pair("open pydantic dataclass, which keeps what it declares, to a closed model",
         asks("Q", "Q(y=1, z=2)", types="@pydantic.dataclasses.dataclass(config=ConfigDict("
              "extra='allow'))\nclass Q:\n    y: int"),
         asks("R", "R(y=1)", types=CLASS["closed"].format("y: int")), WHOLE, WHOLE),
]  # fmt: skip
ITEMS = {
    "closed": "class Q(TypedDict, closed=True):\n    y: int\n",
    "heir": "class B(TypedDict, closed=True):\n    y: int\nclass Q(B):\n    z: NotRequired[int]\n",
    "never": "class Q(TypedDict, extra_items=Never):\n    y: int\n",
    "more": "class Q(TypedDict, extra_items=int):\n    y: int\n",
    "others": "class Q(TypedDict, extra_items=str):\n    y: int\n",
    "open": "class Q(TypedDict):\n    y: int\n    x: NotRequired[str]\n",
    "kept": "class Q(BaseModel):\n    model_config = ConfigDict(extra='allow')\n"
            "    __pydantic_extra__: dict[str, int]\n    y: int\n",
    "struct": "class S(Struct):\n    q: Q\n",
}  # fmt: skip
OPEN = asks("Q", "{'y': 1, 'x': 'a'}", types=ITEMS["open"])
MORE = asks("Q", "{'y': 1, 'x': 2}", types=ITEMS["more"])
UNKNOWN: list[Pair] = [
    Pair("typed dict to a closed one", OPEN, asks("Q", "{'y': 1}", types=ITEMS["closed"]), BREAKS,
         WHOLE),
    Pair("typed dict to the heir of a closed one", OPEN,
         asks("Q", "{'y': 1}", types=ITEMS["heir"]), BREAKS, ("risky", "whole")),
    Pair("typed dict to one that never has others", OPEN,
         asks("Q", "{'y': 1}", types=ITEMS["never"]), BREAKS, WHOLE),
    Pair("typed dict to one with others of another type", OPEN, MORE, BREAKS, BREAKS),
    Pair("typed dict with others to a closed one", MORE,
         asks("Q", "{'y': 1}", types=ITEMS["closed"]), BREAKS, WHOLE),
    Pair("typed dict with others to one with others of another type", MORE,
         asks("Q", "{'y': 1, 'z': 'a'}", types=ITEMS["others"]), BREAKS, BREAKS),
    Pair("typed dict with others to a model with the same", MORE,
         asks("Q", "Q(y=1, z=2)", types=ITEMS["kept"]), WHOLE, WHOLE),
    Pair("typed dict with others to a model of another type", OPEN,
         asks("Q", "Q(y=1, x=2)", types=ITEMS["kept"]), BREAKS, BREAKS),
    Pair("typed dict in a Struct, where no dict is closed",
         asks("S", "S({'y': 1, 'x': 'a'})", types=ITEMS["open"] + ITEMS["struct"]),
         asks("S", "S({'y': 1})", types=ITEMS["closed"] + ITEMS["struct"]),
         IGNORED, WHOLE),
]  # fmt: skip
CONFIGS = UNKNOWN + STRICTNESS + ALTERED + CONFIGURED
