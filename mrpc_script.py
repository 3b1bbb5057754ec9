"""The program `mrpc`, from its first line on: Ctrl-C ends it with status 130 and no traceback.

Most of a command's start is the import of its modules, in which there is nothing to undo yet. So
this one stands beside the packages, and imports nothing that Python has not loaded by then before
it has taken the signal. Knows nothing of commands: those see KeyboardInterrupt, as programs do.
"""

import os
import sys

signal = __import__("_signal")  # without the enumerations around it, whose import takes long

INTERRUPTED: int = 130
MODULE: str = "machnet_rpc.cli"


def main() -> int:
    """Runs `mrpc` with the arguments of this process; returns its exit status."""
    end_at_interrupt()
    from machnet_rpc.cli import main as run

    try:
        if signal.getsignal(signal.SIGINT) is _end:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        end_at_interrupt()


def end_at_interrupt() -> None:
    """From now on Ctrl-C ends this process at once, where it raised KeyboardInterrupt before."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def end_at_interrupt_if_sought() -> None:
    """The same where Python just looks for `python -m machnet_rpc.cli`; else nothing.

    It imports the package above the module before a line of it. `-m` stands in place of the
    program's path until the module is found.
    """
    if sys.argv[:1] == ["-m"] and MODULE in sys.orig_argv:
        end_at_interrupt()


def _end(_number: int, _frame: object) -> None:
    os._exit(INTERRUPTED)
