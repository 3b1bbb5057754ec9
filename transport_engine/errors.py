"""What can go wrong between an application and its engine, sorted by who must react.

Each error's text is a sentence that says what to do. Knows nothing of calls.
"""

from typing import Final

from transport_engine._native import ffi, lib


class TransportError(Exception):
    """An engine, or the way to it, failed."""


class ConfigError(TransportError):
    """A configuration is wrong: the sentence names file, key, value and what is allowed."""


class NoEngineError(TransportError):
    """There is no engine to attach to, or one could not be started."""


class EngineGoneError(TransportError):
    """The engine that this application was attached to is gone, and its flows with it."""


class PortInUseError(TransportError):
    """Somebody listens on that port already."""


class ForbiddenError(TransportError):
    """The engine's policy, or the system, does not let this process do that."""


class NoRoomError(TransportError):
    """A table or a memory pool of the engine is full."""


class QuotaError(NoRoomError):
    """All that the engine's policy gives this tenant is in use."""


class NoPairError(TransportError):
    """There is no pair between these two applications: the sentence says why, a flow will do."""


class PeerSilentError(NoPairError):
    """The other application did not take its end of a pair in time."""


class ChannelCorruptError(TransportError):
    """Shared memory holds what no honest side writes: a bug, or an attack."""


VIOLATIONS: Final[dict[int, str]] = {
    lib.TE_V_POSITION: "it moved a ring's position to where none can be",
    lib.TE_V_RECORD: "it wrote a record that breaks the rules",
    lib.TE_V_MEMORY: "it removed pages from the memory, or kept a seal off it",
}
"""What an application did for which it was cut off, by the enum te_violation."""

_CLASSES: Final[dict[int, type[TransportError]]] = {
    lib.TE_E_INVALID: ConfigError,
    lib.TE_E_NO_MEMORY: NoRoomError,
    lib.TE_E_CLOSED: EngineGoneError,
    lib.TE_E_IN_USE: PortInUseError,
    lib.TE_E_NO_DRIVER: NoEngineError,
    lib.TE_E_SYSTEM: NoEngineError,
    lib.TE_E_CORRUPT: ChannelCorruptError,
    lib.TE_E_QUOTA: QuotaError,
    lib.TE_E_DENIED: ForbiddenError,
}


def error_name(code: int) -> str:
    """The name of a negative enum te_error."""
    name: bytes = ffi.string(lib.te_error_name(code))
    return name.decode()


def error_of(code: int, sentence: str) -> TransportError:
    """The exception for a negative enum te_error."""
    return _CLASSES.get(code, TransportError)(sentence or error_name(code))
