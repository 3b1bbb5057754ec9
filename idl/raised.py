"""What is asked of exceptions and values that are the user's, whatever they say of themselves.

Their classes may define `__class__`, `__getattribute__`, `__str__` and even `__name__` so that
these raise; what is here never does.
"""

from types import TracebackType
from typing import Any, Final, TypeVar

from typing_extensions import TypeIs, is_typeddict

T = TypeVar("T")

_NAME: Final[Any] = type.__dict__["__name__"]
_TRACEBACK: Final[Any] = BaseException.__dict__["__traceback__"]


def is_of(value: object, kind: type[T]) -> TypeIs[T]:
    """Whether it is an instance, by its own class rather than by its `__class__`.

    Those of a TypedDict are dicts.
    """
    is_usual = type(kind) is type or not is_typeddict(kind)
    return issubclass(type(value), kind if is_usual else dict)


def class_name(value: object) -> str:
    """The name of its class."""
    name: str = _NAME.__get__(type(value))
    return name


def traceback_of(error: BaseException) -> TracebackType | None:
    """Where it was raised."""
    trace: TracebackType | None = _TRACEBACK.__get__(error)
    return trace


def said(error: BaseException) -> str:
    """What an error says, on one line; its class if it says nothing, or raises where it should."""
    return text_of(error) or class_name(error)


def text_of(error: BaseException) -> str:
    """The same, and nothing where it says nothing."""
    try:
        return " ".join(str(error).split())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 (it is the user's)
        return ""


def shown(value: object) -> str:
    """Its class and what it looks like, on a few characters."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 (it is the user's, or too deep)
        return class_name(value)
    return f"{class_name(value)} {text if len(text) <= 60 else text[:57] + '...'}"
