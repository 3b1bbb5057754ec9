"""Pairs about strict types, and text that is altered where it is read."""

from tests.idl.evolution import Pair
from tests.idl.evolution_signatures import BREAKS, WHOLE
from tests.idl.evolution_types import asks

TEXT = "Annotated[str, StringConstraints({})]"
STRICT = "Annotated[{}, Field(strict=True)]"

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
CONFIGS = STRICTNESS + ALTERED
