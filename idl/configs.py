"""What is said of all fields of a class: by what they are read, their limits, and unknown ones.

A dataclass, a TypedDict or a NamedTuple that has none is read by that of the class around it.
"""

from dataclasses import dataclass
from typing import Any, Final

from idl.shapes import Json, Shape

_TEXT_LIMITS: Final = {
    "str_min_length": "min_length", "str_max_length": "max_length",
    "str_strip_whitespace": "strip_whitespace", "str_to_lower": "to_lower",
    "str_to_upper": "to_upper",
}  # fmt: skip
_UNLIMITED: Final = frozenset({"any", "none"})


@dataclass(frozen=True, slots=True)
class Settings:
    """Those of one class. `extra` is pydantic's word for what becomes of unknown fields."""

    by_msgspec: bool = False  # to which no configuration of pydantic's is anything
    extra: str = "ignore"
    is_strict: bool = False
    is_finite: bool = False
    text_limits: tuple[tuple[str, Json], ...] = ()

    def limited(self, scalar: Shape) -> Shape:
        """A field's type, or a part of it, with the limits that all of the class have."""
        limits: dict[str, Json] = {}
        if self.is_strict and scalar.kind not in _UNLIMITED:
            limits["strict"] = True
        if self.is_finite and scalar.kind == "float":
            limits["allow_inf_nan"] = False
        if scalar.kind == "str":
            limits |= dict(self.text_limits)
        return Shape(scalar.kind, limits=tuple(sorted(limits.items()))) if limits else scalar


DEFAULTS: Final = Settings()
OF_MSGSPEC: Final = Settings(by_msgspec=True)


def settings_of(cls: type, outer: Settings) -> Settings:
    """Those of a class that is the type of a field in one that has the `outer` ones."""
    if outer.by_msgspec or hasattr(cls, "__struct_fields__"):
        return OF_MSGSPEC
    config: Any = getattr(cls, "model_config", getattr(cls, "__pydantic_config__", None))
    if config is None:
        return outer
    texts = [(name, config.get(key)) for key, name in _TEXT_LIMITS.items()]
    return Settings(
        extra=config.get("extra") or "ignore",
        is_strict=config.get("strict") is True,
        is_finite=config.get("allow_inf_nan") is False,
        text_limits=tuple((name, limit) for name, limit in texts if limit),
    )
