"""The interoperability tests of gRPC that depend on neither HTTP/2 nor protobuf, under their names.

Source: grpc/doc/interop-test-descriptions.md of https://github.com/grpc/grpc; sizes are its own
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from machnet_rpc import (
    Client,
    Code,
    DeadlineExceeded,
    MemoryNetwork,
    RpcError,
    Sender,
    Unimplemented,
    connect,
    current_call,
    rpc,
    serve,
    service,
)
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.waiting import until
from transport_engine.config import EngineConfig

REQUEST_SIZES = (27182, 8, 1828, 45904)
RESPONSE_SIZES = (31415, 9, 2653, 58979)
MESSAGE = "test status message"
METADATA: dict[str, str | bytes] = {
    "x-grpc-test-echo-initial": "test_initial_metadata_value",
    "x-grpc-test-echo-trailing-bin": b"\xab\xab\xab",
}
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


@dataclass(frozen=True, slots=True)
class SimpleRequest:
    payload: bytes = b""
    response_size: int = 0
    message: str = ""  # of an UNKNOWN error to raise


@service("grpc.testing.TestService")
class TestService:
    __test__ = False

    @rpc
    async def empty_call(self) -> None:
        raise NotImplementedError

    @rpc
    async def unary_call(self, request: SimpleRequest) -> bytes:
        raise NotImplementedError

    @rpc
    async def streaming_input_call(self, payloads: AsyncIterator[bytes]) -> int:
        raise NotImplementedError

    @rpc
    def streaming_output_call(self, sizes: list[int]) -> AsyncIterator[bytes]:
        raise NotImplementedError

    @rpc
    def full_duplex_call(self, requests: AsyncIterator[SimpleRequest]) -> AsyncIterator[bytes]:
        raise NotImplementedError

    @rpc
    async def unimplemented_call(self) -> None:
        raise NotImplementedError


@service("grpc.testing.TestService")
class ServedService:
    """What the server knows: all but `unimplemented_call`."""

    empty_call = TestService.empty_call
    unary_call = TestService.unary_call
    streaming_input_call = TestService.streaming_input_call
    streaming_output_call = TestService.streaming_output_call
    full_duplex_call = TestService.full_duplex_call


@service("grpc.testing.UnimplementedService")
class UnimplementedService:
    @rpc
    async def unimplemented_call(self) -> None:
        raise NotImplementedError


class Desk(ServedService):
    def __init__(self) -> None:
        self.cancelled = 0

    @rpc
    async def empty_call(self) -> None:
        pass

    @rpc
    async def unary_call(self, request: SimpleRequest) -> bytes:
        _echo_metadata()
        return self._answer(request)

    @rpc
    async def streaming_input_call(self, payloads: AsyncIterator[bytes]) -> int:
        try:
            return sum([len(payload) async for payload in payloads])
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    @rpc
    async def streaming_output_call(self, sizes: list[int]) -> AsyncIterator[bytes]:
        for size in sizes:
            yield bytes(size)

    @rpc
    async def full_duplex_call(
        self, requests: AsyncIterator[SimpleRequest]
    ) -> AsyncIterator[bytes]:
        _echo_metadata()
        try:
            async for request in requests:
                yield self._answer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def _answer(self, request: SimpleRequest) -> bytes:
        if request.message:
            raise RpcError(request.message, code=Code.UNKNOWN)
        return bytes(request.response_size)


def _echo_metadata() -> None:
    call = current_call()
    echoed = {name: value for name, value in call.metadata.items() if name in METADATA}
    call.reply_metadata.update(echoed)


async def empty_unary(client: Client, desk: Desk) -> None:
    await client.stub(TestService).empty_call()


async def large_unary(client: Client, desk: Desk) -> None:
    request = SimpleRequest(bytes(271828), response_size=314159)
    assert await client.stub(TestService).unary_call(request) == bytes(314159)


async def client_streaming(client: Client, desk: Desk) -> None:
    async def payloads() -> AsyncIterator[bytes]:
        for size in REQUEST_SIZES:
            yield bytes(size)

    assert await client.stub(TestService).streaming_input_call(payloads()) == 74922


async def server_streaming(client: Client, desk: Desk) -> None:
    items = client.stub(TestService).streaming_output_call(list(RESPONSE_SIZES))
    assert tuple([len(item) async for item in items]) == RESPONSE_SIZES


async def ping_pong(client: Client, desk: Desk) -> None:
    sender = Sender[SimpleRequest]()
    async with client.stub(TestService).full_duplex_call(sender) as answers:
        for request_size, response_size in zip(REQUEST_SIZES, RESPONSE_SIZES, strict=True):
            await sender.send(SimpleRequest(bytes(request_size), response_size))
            assert len(await anext(answers)) == response_size
        sender.close()
        assert [item async for item in answers] == []


async def empty_stream(client: Client, desk: Desk) -> None:
    sender = Sender[SimpleRequest]()
    sender.close()
    answers = client.stub(TestService).full_duplex_call(sender)
    assert [item async for item in answers] == []


async def cancel_after_begin(client: Client, desk: Desk) -> None:
    sender = Sender[bytes]()
    call = asyncio.ensure_future(client.stub(TestService).streaming_input_call(sender))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def cancel_after_first_response(client: Client, desk: Desk) -> None:
    sender = Sender[SimpleRequest]()
    answers = client.stub(TestService).full_duplex_call(sender)
    await sender.send(SimpleRequest(bytes(27182), response_size=31415))
    assert len(await anext(answers)) == 31415
    await answers.aclose()
    await until(lambda: desk.cancelled)


async def timeout_on_sleeping_server(client: Client, desk: Desk) -> None:
    await client.stub(TestService).empty_call()  # the flow is open
    sender = Sender[SimpleRequest]()
    await sender.send(SimpleRequest(bytes(27182)))
    answers = client.stub(TestService).full_duplex_call.using(timeout=0.001)(sender)
    with pytest.raises(DeadlineExceeded):
        [item async for item in answers]


async def custom_metadata(client: Client, desk: Desk) -> None:
    """There is no difference here between what comes before a reply and after it."""
    stub = client.stub(TestService)
    sent, back = {**METADATA, "x-other": "not echoed"}, dict[str, str | bytes]()
    request = SimpleRequest(bytes(271828), response_size=314159)
    given = await stub.unary_call.using(metadata=sent, reply_metadata=back)(request)
    assert (given, back) == (bytes(314159), METADATA)
    back.clear()
    sender = Sender[SimpleRequest]()
    await sender.send(request)
    sender.close()
    items = stub.full_duplex_call.using(metadata=sent, reply_metadata=back)(sender)
    assert [item async for item in items] == [bytes(314159)]
    assert back == METADATA


async def status_code_and_message(client: Client, desk: Desk) -> None:
    await _fails(client, MESSAGE)


async def special_status_message(client: Client, desk: Desk) -> None:
    await _fails(client, SPECIAL)


async def _fails(client: Client, message: str) -> None:
    stub = client.stub(TestService)
    request = SimpleRequest(message=message)
    with pytest.raises(RpcError) as caught:
        await stub.unary_call(request)
    assert (caught.value.code, caught.value.message) == (Code.UNKNOWN, message)
    sender = Sender[SimpleRequest]()
    await sender.send(request)
    with pytest.raises(RpcError) as caught:
        await anext(stub.full_duplex_call(sender))
    assert (caught.value.code, caught.value.message) == (Code.UNKNOWN, message)


async def unimplemented_method(client: Client, desk: Desk) -> None:
    with pytest.raises(Unimplemented, match="has no such method") as caught:
        await client.stub(TestService).unimplemented_call()
    assert caught.value.executed == "no"


async def unimplemented_service(client: Client, desk: Desk) -> None:
    with pytest.raises(Unimplemented, match="no such service") as caught:
        await client.stub(UnimplementedService).unimplemented_call()
    assert caught.value.executed == "no"


CASES: tuple[Callable[[Client, Desk], Coroutine[Any, Any, None]], ...] = (
    empty_unary,
    large_unary,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    cancel_after_begin,
    cancel_after_first_response,
    timeout_on_sleeping_server,
    custom_metadata,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_interop(via: Via, case: Callable[[Client, Desk], Coroutine[Any, Any, None]]) -> None:
    desk = Desk()
    async with (
        serve(desk, "127.0.0.1:0", via=via) as server,
        connect(server.address, via=via) as client,
    ):
        await case(client, desk)
        await until(lambda: nothing_left(client, server))
        await client.stub(TestService).empty_call()  # a cancelled case may have opened no flow
        assert client.transport.rung == rung_of(via)


def rung_of(via: Via) -> str:
    """The rung that the parameter is for, so that none is passed on another."""
    if isinstance(via, MemoryNetwork):
        return "memory"
    if isinstance(via, EngineConfig):
        return "inline+udp"
    folder = Path(str(via)).parent.name.rstrip("0123456789")
    return {"sidecar": "sidecar+udp", "direct": "direct"}[folder]


def test_the_cases_are_those_of_grpc() -> None:
    assert {case.__name__ for case in CASES} == {
        "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong",
        "empty_stream", "cancel_after_begin", "cancel_after_first_response",
        "timeout_on_sleeping_server", "custom_metadata", "status_code_and_message",
        "special_status_message", "unimplemented_method", "unimplemented_service",
    }  # fmt: skip
