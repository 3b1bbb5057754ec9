"""Views that are lent for the time of a call, and how to keep one.

A method that takes a `memoryview` is given the memory into which the message arrived. When its
handler has returned, that memory is used for the next message, unless something still refers to it.
"""

from collections.abc import Sized
from typing import Any, Final, cast

__all__ = ["end_lease", "keep"]

KEPT_SHARE_MIN: Final = 4  # a smaller part of a message is worth a copy, which frees the rest


def keep(view: memoryview) -> memoryview:
    """The same bytes for as long as the result is referred to, after the handler's end as well.

    It takes over the message's memory where the view is a good part of it, and copies where not.
    Errors: ValueError for a view whose lease has ended; TypeError for what is none.
    """
    given: Any = view
    if not isinstance(given, memoryview):
        raise TypeError(f"keep({type(given).__name__}): only a memoryview is lent, all else stays")
    whole = cast(Sized, view.obj)
    is_plain = view.format == "B" and view.ndim == 1
    if is_plain and view.nbytes * KEPT_SHARE_MIN < len(whole):
        return memoryview(view.tobytes())
    return memoryview(view)


def end_lease(view: memoryview) -> None:
    """Ends a view's lease: it raises ValueError from here on.

    What was made of it (slices, arrays) stays valid, and holds the memory.
    """
    try:
        view.release()
    except BufferError:
        return  # an array is made of the view itself, which lives as long as that
