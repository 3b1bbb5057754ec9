"""Which scalars codecs take for one another: whole, with a loss, or by mistake.

Knows kinds of shapes alone. Tests hold it to what the codecs do.
"""

from typing import Final

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
