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
    "te_channel_arm",
    "te_channel_note",
    "te_engine_poll",
)

HEAP_BYTES: Final = 12 << 20  # more than a message is; twice that stays with the process at most


def _found() -> ModuleType | None:
    if os.environ.get("MRPC_CROSSING") == "python":
        return None
    try:
        from machnet_rpc import _crossing
    except ImportError:
        return None
    put, peek, pop, ring, arm, note, poll = (
        int(ffi.cast("uintptr_t", ffi.addressof(lib, name))) for name in FUNCTIONS
    )
    _crossing.bind(put, peek, pop, ring, arm, note, poll, ChannelCorruptError)
    return _crossing


def _keep_freed_memory() -> None:
    """Has malloc keep what messages free, rather than give it back and fault it in for the next.

    glibc maps larger blocks one by one, and trims its heap beyond 128 KiB. Both limits follow the
    largest mapped block that was freed (mallopt(3), M_MMAP_THRESHOLD), as they would after the
    first large message. No page of this one is ever touched.
    """
    bytes(HEAP_BYTES)


_keep_freed_memory()
crossing: Final[Any] = _found()
"""The extension module, or None."""
