"""The interoperability tests of gRPC by the blocking client, under the names of test_interop.py."""

from collections.abc import Callable

import pytest

from machnet_rpc import Cancelled, Code, DeadlineExceeded, RpcError, Unimplemented, sync
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.server_thread import serving
from tests.machnet_rpc.test_interop import (
    MESSAGE,
    METADATA,
    REQUEST_SIZES,
    RESPONSE_SIZES,
    SPECIAL,
    Desk,
    SimpleRequest,
    TestService,
    UnimplementedService,
)
from tests.machnet_rpc.waiting import until_seen


class BlockingService(TestService, sync.BlockingContract):
    pass


def empty_unary(client: sync.Client, desk: Desk) -> None:
    client.stub(BlockingService).empty_call()


def large_unary(client: sync.Client, desk: Desk) -> None:
    request = SimpleRequest(bytes(271828), response_size=314159)
    assert client.stub(BlockingService).unary_call(request) == bytes(314159)


def client_streaming(client: sync.Client, desk: Desk) -> None:
    payloads = sync.Items(bytes(size) for size in REQUEST_SIZES)
    assert client.stub(BlockingService).streaming_input_call(payloads) == 74922


def server_streaming(client: sync.Client, desk: Desk) -> None:
    items = client.stub(BlockingService).streaming_output_call(list(RESPONSE_SIZES))
    assert tuple(len(item) for item in items) == RESPONSE_SIZES


def ping_pong(client: sync.Client, desk: Desk) -> None:
    sender = sync.Sender[SimpleRequest]()
    with client.stub(BlockingService).full_duplex_call(sender) as answers:
        for request_size, response_size in zip(REQUEST_SIZES, RESPONSE_SIZES, strict=True):
            sender.send(SimpleRequest(bytes(request_size), response_size))
            assert len(next(answers)) == response_size
        sender.close()
        assert list(answers) == []


def empty_stream(client: sync.Client, desk: Desk) -> None:
    sender = sync.Sender[SimpleRequest]()
    sender.close()
    assert list(client.stub(BlockingService).full_duplex_call(sender)) == []
    none: list[SimpleRequest] = []
    assert list(client.stub(BlockingService).full_duplex_call(sync.Items(none))) == []


def cancel_after_first_response(client: sync.Client, desk: Desk) -> None:
    sender = sync.Sender[SimpleRequest]()
    answers = client.stub(BlockingService).full_duplex_call(sender)
    sender.send(SimpleRequest(bytes(27182), response_size=31415))
    assert len(next(answers)) == 31415
    answers.close()
    until_seen(lambda: desk.cancelled)
    with pytest.raises(Cancelled):
        sender.send(SimpleRequest())


def timeout_on_sleeping_server(client: sync.Client, desk: Desk) -> None:
    client.stub(BlockingService).empty_call()  # the flow is open
    sender = sync.Sender[SimpleRequest]()
    sender.send(SimpleRequest(bytes(27182)))
    answers = client.stub(BlockingService).full_duplex_call.using(timeout=0.001)(sender)
    with pytest.raises(DeadlineExceeded):
        list(answers)


def custom_metadata(client: sync.Client, desk: Desk) -> None:
    stub = client.stub(BlockingService)
    sent, back = {**METADATA, "x-other": "not echoed"}, dict[str, str | bytes]()
    request = SimpleRequest(bytes(271828), response_size=314159)
    given = stub.unary_call.using(metadata=sent, reply_metadata=back)(request)
    assert (given, back) == (bytes(314159), METADATA)
    back.clear()
    call = stub.full_duplex_call.using(metadata=sent, reply_metadata=back)
    assert list(call(sync.Items([request]))) == [bytes(314159)]
    assert back == METADATA


def status_code_and_message(client: sync.Client, desk: Desk) -> None:
    fails(client, MESSAGE)


def special_status_message(client: sync.Client, desk: Desk) -> None:
    fails(client, SPECIAL)


def fails(client: sync.Client, message: str) -> None:
    stub = client.stub(BlockingService)
    request = SimpleRequest(message=message)
    with pytest.raises(RpcError) as caught:
        stub.unary_call(request)
    assert (caught.value.code, caught.value.message) == (Code.UNKNOWN, message)
    with pytest.raises(RpcError) as caught:
        next(stub.full_duplex_call(sync.Items([request])))
    assert (caught.value.code, caught.value.message) == (Code.UNKNOWN, message)


def unimplemented_method(client: sync.Client, desk: Desk) -> None:
    with pytest.raises(Unimplemented, match="has no such method") as caught:
        client.stub(BlockingService).unimplemented_call()
    assert caught.value.executed == "no"


def unimplemented_service(client: sync.Client, desk: Desk) -> None:
    with pytest.raises(Unimplemented, match="no such service") as caught:
        client.call(UnimplementedService.unimplemented_call)
    assert caught.value.executed == "no"


CASES: tuple[Callable[[sync.Client, Desk], None], ...] = (
    empty_unary,
    large_unary,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    cancel_after_first_response,
    timeout_on_sleeping_server,
    custom_metadata,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_interop(via: Via, case: Callable[[sync.Client, Desk], None]) -> None:
    desk = Desk()
    with (
        serving(desk, "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, timeout=10.0) as client,
    ):
        case(client, desk)
        until_seen(lambda: nothing_left(client._blocking.client, server.server))
