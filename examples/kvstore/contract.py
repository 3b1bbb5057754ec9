"""The key–value service as its callers see it."""

from examples.kvstore.store import (
    KeyInvalidError,
    KeyMissingError,
    Page,
    StoreFullError,
    ValueTooLargeError,
)
from machnet_rpc import rpc, service

PORT = 7100


@service("kv", version=1, errors=[KeyInvalidError, ValueTooLargeError])
class KeyValue:
    """Keys and values are bytes; keys are ordered as bytes are."""

    @rpc(idempotent=True, errors=[KeyMissingError])
    async def get(self, key: bytes) -> bytes:
        """The value of `key`."""
        raise NotImplementedError

    @rpc(idempotent=True)
    async def mget(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of `keys` in their order; None for those that are missing."""
        raise NotImplementedError

    @rpc(errors=[StoreFullError])
    async def put(self, key: bytes, value: bytes) -> bool:
        """Set the value of `key`; True if there was none before.

        Not idempotent: sent again late, it would undo what somebody wrote since.
        """
        raise NotImplementedError

    @rpc
    async def delete(self, key: bytes) -> bool:
        """Forget `key`; True if it was there."""
        raise NotImplementedError

    @rpc(idempotent=True)
    async def scan(self, start: bytes, limit: int) -> Page:
        """Up to `limit` items from `start` on; the page says where to go on."""
        raise NotImplementedError
