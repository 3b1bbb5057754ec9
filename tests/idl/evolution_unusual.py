"""Pairs about types that send more than what they declare, or less."""

from tests.idl.evolution import Pair
from tests.idl.evolution_signatures import BREAKS, WHOLE
from tests.idl.evolution_types import CLASS, asks

FLAGS = "class F({}):\n    A = 1\n    B = 2\n    {}"
STRICT = "Flag, boundary=STRICT"  # which is the default since Python 3.11.4
GAPPED = "class F(Flag, boundary=STRICT):\n    A = 1\n    C = 4"
COMPUTED = CLASS["dataclass"].format("a: int\n    b: int = field(init=False, default=5)")
OPEN = "class R(BaseModel):\n    model_config = ConfigDict(extra='allow')\n    a: int"
BOX = "U = TypeVar('U', {})\n@dataclass\nclass Box(Generic[U]):\n    x: U"
OLD = asks("R", "R(a=1)", types=COMPUTED)
EXTRA = asks("R", "R(a=1, x=2)", types=OPEN)
CLOSED = asks("R", "R(a=1)", types=CLASS["closed"].format("a: int"))

UNUSUAL: list[Pair] = [
    Pair("flags to enum", asks("F", "F.A | F.B", types=FLAGS.format("IntFlag", "")),
         asks("F", "F.A", types=FLAGS.format("IntEnum", "")), BREAKS, WHOLE),
    Pair("flags to literal", asks("F", "F.A | F.B", types=FLAGS.format("IntFlag", "")),
         asks("Literal[1, 2]", "1"), BREAKS, WHOLE),
    Pair("flags to int", asks("F", "F.A | F.B", types=FLAGS.format("IntFlag", "")),
         asks("int", "-1"), WHOLE, ("breaking", "changed")),
    Pair("flags to integers that it keeps",
         asks("F", "F.A | F.B", types=FLAGS.format("IntFlag", "")),
         asks("Annotated[int, Field(ge=0, lt=2 ** 63)]", "77", "2 ** 63 - 1"), WHOLE, WHOLE),
    Pair("flag added", asks("F", "F.A | F.B", "F(0)", types=FLAGS.format(STRICT, "")),
         asks("F", "F.A | F.C", types=FLAGS.format(STRICT, "C = 4")), WHOLE, BREAKS),
    Pair("flag replaced by one above", asks("F", "F.A | F.B", types=FLAGS.format(STRICT, "")),
         asks("F", "F.A | F.C", types=GAPPED), BREAKS, BREAKS),
    Pair("flags without some to int", asks("F", "F.A | F.C", types=GAPPED),
         asks("Annotated[int, Field(ge=0, le=5)]", "5", "2"), WHOLE, BREAKS),
    Pair("literal to flags without some", asks("Literal[0, 4, 5]", "5"),
         asks("F", "F.A", types=GAPPED), WHOLE, BREAKS),
    Pair("computed field to none that is refused", OLD, CLOSED, BREAKS, WHOLE),
    Pair("computed field to one of another type", OLD,
         asks("R", "R(1, 'x')", types=CLASS["dataclass"].format("a: int\n    b: str = ''")),
         BREAKS, ("risky", "changed")),
    Pair("computed field to one that is needed", OLD,
         asks("R", "R(1, 5)", types=CLASS["dataclass"].format("a: int\n    b: int")),
         WHOLE, ("risky", "whole")),
    Pair("open to closed", EXTRA, CLOSED, BREAKS, WHOLE),
    Pair("open to a field that it may hold", EXTRA,
         asks("R", "R(1)", types=CLASS["dataclass"].format("a: int\n    x: str = ''")),
         ("risky", "fails"), ("risky", "whole")),
    Pair("default of a type variable that is left open",
         asks("Box", "Box(1)", types=BOX.format("default=int")),
         asks("Box", "Box('x')", types=BOX.format("default=str")), BREAKS, BREAKS),
    Pair("open type variable of a few types to one of them",
         asks("Box", "Box('x')", types=BOX.format("int, str")),
         asks("Box", "Box(1)", types=BOX.format("bound=int")), BREAKS, WHOLE),
    Pair("open type variable of one type to some others",
         asks("Box", "Box([1])", types=BOX.format("bound=list[int]")),
         asks("Box", "Box(1)", types=BOX.format("int, str")), BREAKS, BREAKS),
    Pair("empty tuple to tuple", asks("tuple[()]", "()"), asks("tuple", "(1,)"), WHOLE, BREAKS),
    Pair("empty tuple to a pair", asks("tuple[()]", "()"), asks("tuple[int, int]", "(1, 2)"),
         BREAKS, BREAKS),
]  # fmt: skip
