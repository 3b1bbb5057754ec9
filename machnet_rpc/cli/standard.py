"""The three streams of a command, as a shell, a service of systemd or cron may have left them."""

import io
import os
import sys
from typing import Final

_NAMES: Final = ("stdin", "stdout", "stderr")
_STDOUT: Final = 1


def mend() -> None:
    """Opens those that are closed, and has all of them take what commands print.

    The number of a closed one would go to a socket, into which others then write. An ASCII locale
    says nothing of the terminal's encoding, and in another one what has no letter is escaped. Input
    that is no text is read all the same: who parses it says what is wrong with it.
    """
    for name in _NAMES:
        stream = getattr(sys, name)
        if stream is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            if stream.encoding.lower() in ("ascii", "us-ascii", "ansi_x3.4-1968"):
                stream.reconfigure(encoding="utf-8")
            if name == "stdout":
                stream.reconfigure(errors="backslashreplace")
            elif name == "stdin":
                stream.reconfigure(errors="surrogateescape")


def discard_output() -> None:
    """Has all that is still to be printed go nowhere, since where it should go takes no more.

    Else Python tries it again at the end of the process, and says that it failed.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.close(nowhere)
