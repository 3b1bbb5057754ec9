"""The replies that keyed calls are answered with again: as data, and where servers may keep them.

Knows neither who calls nor how long a server remembers.
"""

import hashlib
from typing import Any, Final, NamedTuple, Protocol

from idl import CodecError, pack, unpack
from machnet_rpc.errors import ContractError

FORMAT: Final = 1
DIGEST_BYTES: Final = 16
STATUS_MAX: Final = 0xFFFF


class ReplyStore(Protocol):
    """Where replies outlive the server: a table of the database that the handlers write to.

    A key names one call of one method for all clients: "service/method:key".
    """

    async def find(self, key: str, /) -> bytes | None:
        """The reply that was committed under the key; None if the call was not executed."""
        ...

    async def commit(self, key: str, reply: bytes, /) -> None:
        """Keeps the reply, together with what the handler did.

        Called in the handler's task and context, after it returned or raised what its contract
        declares; not where the handler took the reply from `current_call().reply_to_store` itself.
        Errors: any; then the caller is told that the call was executed perhaps.
        """
        ...


def checked_store(store: ReplyStore | None) -> ReplyStore | None:
    """What an application keeps replies in. Errors: ContractError."""
    given: Any = store
    is_store = callable(getattr(given, "find", None)) and callable(getattr(given, "commit", None))
    if given is not None and (isinstance(given, type) or not is_store):
        raise ContractError(f"replies={given!r} is no store: it needs `find` and `commit`, awaited")
    return store


class MalformedReply(ValueError):
    """What a store gave is no reply of this version."""


class Reply(NamedTuple):
    """How a call ended: `status` 0 with a result, or an error's code; `digest` is its request's."""

    status: int
    payload: bytes
    digest: bytes

    def to_bytes(self) -> bytes:
        """For a store."""
        return pack([FORMAT, self.digest, self.status, self.payload])

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Reply":
        """The inverse. Errors: MalformedReply, whatever the bytes are."""
        try:
            fields: Any = unpack(stored)
        except CodecError as error:
            raise MalformedReply(f"it is not msgpack: {error}") from error
        if not isinstance(fields, list) or len(fields) != 4 or fields[0] != FORMAT:
            raise MalformedReply("it was not written by this version of machnet-rpc")
        _, digest, status, payload = fields
        if (
            not isinstance(digest, bytes)
            or not isinstance(payload, bytes)
            or type(status) is not int
            or not 0 <= status <= STATUS_MAX
        ):
            raise MalformedReply("its fields are of other types")
        return cls(status, payload, digest)


def digest_of(request: bytes | memoryview) -> bytes:
    """What tells the arguments of two calls apart."""
    return hashlib.blake2b(request, digest_size=DIGEST_BYTES).digest()
