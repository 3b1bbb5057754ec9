"""Whether this process may open files: said at once, before what needs some fails half made."""

import os
from typing import Final

from transport_engine.errors import NoRoomError

DESCRIPTORS_MIN: Final = 24  # of an event loop, an engine, and a few connections


def check_descriptors() -> None:
    """Errors: NoRoomError where fewer than DESCRIPTORS_MIN are left."""
    taken: list[int] = []
    try:
        for _ in range(DESCRIPTORS_MIN // 2):
            taken.extend(os.pipe())
    except OSError as error:
        raise NoRoomError(
            f"{len(taken)} more files may be opened here, and {DESCRIPTORS_MIN} are needed "
            f"({error.strerror}): raise `ulimit -n`"
        ) from error
    finally:
        for descriptor in taken:
            os.close(descriptor)
