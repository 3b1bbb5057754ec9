"""An address of 127.0.0.0/8 for the tests of this process, whose ports are free whoever runs."""

import os


def own_address() -> str:
    """The same one each time in a process, and in no other; `mrpc msggen` takes none of these."""
    pid = os.getpid()
    return f"127.{1 + (pid >> 16 & 31)}.{pid >> 8 & 255}.{pid & 255}"
