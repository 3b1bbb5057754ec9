"""Whether messages cross in C, by the extension module `_crossing`, or in Python.

Both do the same. Python serves interpreters for which there is no extension, and where
MRPC_CROSSING=python asks for it.
"""

import os
from types import ModuleType
from typing import Any, Final

from transport_engine._native import ffi, lib
from transport_engine.errors import ChannelCorruptError

FUNCTIONS: Final = (
    "te_channel_put",
    "te_channel_peek",
    "te_channel_pop",
    "te_channel_ring",
    "te_engine_poll",
)


def _found() -> ModuleType | None:
    if os.environ.get("MRPC_CROSSING") == "python":
        return None
    try:
        from machnet_rpc import _crossing
    except ImportError:
        return None
    put, peek, pop, ring, poll = (
        int(ffi.cast("uintptr_t", ffi.addressof(lib, name))) for name in FUNCTIONS
    )
    _crossing.bind(put, peek, pop, ring, poll, ChannelCorruptError)
    return _crossing


crossing: Final[Any] = _found()
"""The extension module, or None."""
