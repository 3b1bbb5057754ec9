"""Which scalars codecs take for one another: whole, with a loss, or by mistake.

Knows kinds of shapes and plain values alone. Tests hold it to what the codecs do.
"""

from typing import Final

from idl.shapes import BYTES, SCALARS, Json

BOOLS: Final[tuple[Json, ...]] = (False, True)
TEXTS: Final = frozenset({"date", "datetime", "time", "timedelta", "decimal", "uuid"})
# reader -> what else it takes whole, and what it takes with a loss; by codec
WHOLE: Final = {"int": {"bool"}, "float": {"bool"}, "decimal": {"int"}}
LOSSY: Final = {
    "float": {"int", "decimal"},
    "str": TEXTS,
    "bytes": TEXTS | {"str"},
    "datetime": {"date"},
}
STRICT_WHOLE: Final = {"decimal": {"int"}}
STRICT_LOSSY: Final = {"float": {"int"}, "str": TEXTS, "decimal": {"float"}}
EXACT_WHOLE: Final = {"decimal": {"int"}}  # of pydantic where it is strict
EXACT_LOSSY: Final = {"float": {"int"}, "str": TEXTS, "bytes": TEXTS | {"str"}}
# writer -> alternatives that take it besides its own; of an integer where that is not there
MISTAKEN: Final = {
    "uuid": frozenset({"str", "bytes"}),
    "timedelta": frozenset({"str", "bytes"}),
    "time": frozenset({"str", "bytes", "timedelta"}),
    "date": frozenset({"str", "bytes", "datetime"}),
    "datetime": frozenset({"str", "bytes", "date"}),
    "decimal": frozenset({"str", "bytes", "int", "float", "bool", "date", "datetime"}),
    "int": frozenset({"float", "bool", "time", "timedelta", "date", "datetime"}),
}
DIGITS_MAX: Final = 2**53  # of an integer that a float holds whole


def identity(value: Json, *, is_exact: bool) -> tuple[str, str]:
    """What tells a value of a choice from others; unless exact, True is 1 and False is 0."""
    if isinstance(value, bool) and not is_exact:
        value = int(value)
    return type(value).__name__, repr(value)


def scalar_of(value: Json) -> str:
    """The kind of scalar that a value is; "any" for what is none."""
    if isinstance(value, dict) and BYTES in value:
        return "bytes"
    name = type(value).__name__
    return "none" if value is None else name if name in SCALARS else "any"
