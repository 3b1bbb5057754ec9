"""The key–value service: a store behind its contract."""

from examples.kvstore.contract import KeyValue
from examples.kvstore.store import KeyMissingError, Page, Store
from machnet_rpc import rpc


class KeyValueServer(KeyValue):
    """Answers from memory; every handler runs in one go, so calls never see half a change."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = Store() if store is None else store

    @rpc
    async def get(self, key: bytes) -> bytes:
        value = self.store.get(key)
        if value is None:
            raise KeyMissingError("no such key")
        return value

    @rpc
    async def mget(self, keys: list[bytes]) -> list[bytes | None]:
        return self.store.get_many(keys)

    @rpc
    async def put(self, key: bytes, value: bytes) -> bool:
        return self.store.put(key, value)

    @rpc
    async def delete(self, key: bytes) -> bool:
        return self.store.delete(key)

    @rpc
    async def scan(self, start: bytes, limit: int) -> Page:
        return self.store.scan(start, limit)
