"""Stubs of the blocking client: methods of every kind, and what there is not."""

from collections.abc import AsyncIterator

import pytest

from machnet_rpc import ContractError, rpc, service, sync
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.conftest import ADDRESS, only_memory
from tests.machnet_rpc.server_thread import serving
from tests.machnet_rpc.waiting import until_seen


@service("other")
class Other:
    @rpc
    async def method(self) -> int:
        raise NotImplementedError

    @rpc(oneway=True)
    async def note(self, text: str) -> None:
        raise NotImplementedError

    @rpc
    def count(self, to: int) -> AsyncIterator[int]:
        raise NotImplementedError


class Noting(Other):
    def __init__(self) -> None:
        self.notes: list[str] = []

    @rpc(oneway=True)
    async def note(self, text: str) -> None:
        self.notes.append(text)

    @rpc
    async def method(self) -> int:
        return len(self.notes)

    @rpc
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number


@only_memory
def test_methods_of_other_kinds(via: Via) -> None:
    service = Noting()
    with serving(service, ADDRESS, via), sync.connect(ADDRESS, via=via) as client:
        stub = client.stub(Other)
        stub.note("once")
        client.call(Other.note, "twice")
        until_seen(lambda: service.notes == ["once", "twice"])
        assert stub.method() == 2
        assert list(stub.count(3)) == [0, 1, 2]
        assert list(client.method(Other.count)(2)) == [0, 1]


@only_memory
def test_stubs_say_what_they_lack(via: Via) -> None:
    with serving(Noting(), ADDRESS, via), sync.connect(ADDRESS, via=via) as client:
        stub = client.stub(Other)
        with pytest.raises(AttributeError, match="no method missing"):
            stub.missing()
        with pytest.raises(ContractError):
            client.stub(int)
        assert repr(stub) == f"<Other at {client.address}>"
        assert repr(stub.method) == f"<other/method at {client.address}>"
        assert "blocking" in repr(client)
