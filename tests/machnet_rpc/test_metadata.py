"""Metadata in front of a request's payload: any that are sent arrive, any bytes are told apart."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idl import CodecError, pack
from machnet_rpc import Client, InvalidArgument, connect, current_call, rpc, serve, service
from machnet_rpc._metadata import (
    KEY,
    METADATA_BYTES_MAX,
    MalformedMetadata,
    add_where_it_fits,
    split,
    with_metadata,
)
from machnet_rpc._method_id import method_id
from machnet_rpc._options import KEY_CHARACTERS_MAX, Metadata
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.records import METADATA
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.ledger import Ledger, LedgerBook

TOO_MUCH = pack({"a": bytes(METADATA_BYTES_MAX)})
NAMES = st.dictionaries(st.text(max_size=20), st.text(max_size=20) | st.binary(max_size=20))


@given(NAMES, st.binary())
def test_metadata_stand_before_the_payload(metadata: Metadata, payload: bytes) -> None:
    assert split(with_metadata(metadata, payload)) == (metadata, payload)


@given(st.binary())
def test_any_bytes_are_metadata_or_malformed(message: bytes) -> None:
    try:
        metadata, payload = split(message)
    except MalformedMetadata:
        return
    assert split(with_metadata(metadata, payload)) == (metadata, payload)


@pytest.mark.parametrize(
    "message",
    [
        b"\x05\x00\x00\x00abc",
        len(TOO_MUCH).to_bytes(4, "little") + TOO_MUCH,
        b"\x01\x00\x00\x00\xc1",
        b"\x01\x00\x00\x00\x07",
        b"\x03\x00\x00\x00\x81\xa0\x07",
        b"\x03\x00\x00\x00\x81\x07\xa0",
    ],
    ids=["short", "long", "no msgpack", "no map", "number", "number as name"],
)
def test_malformed_metadata_are_told(message: bytes) -> None:
    with pytest.raises(MalformedMetadata, match="metadata"):
        split(message)


def test_as_much_as_is_said_can_be_sent() -> None:
    around = len(pack({"a": bytes(METADATA_BYTES_MAX)})) - METADATA_BYTES_MAX
    most = METADATA_BYTES_MAX - around
    assert split(with_metadata({"a": bytes(most)}, b"")) == ({"a": bytes(most)}, b"")
    with pytest.raises(CodecError, match=f"at most {METADATA_BYTES_MAX} can be sent"):
        with_metadata({"a": bytes(most + 1)}, b"")


def test_what_the_application_did_not_ask_for_leaves_room_for_a_key() -> None:
    own: Metadata = {"a": "x" * (METADATA_BYTES_MAX - 310)}
    add_where_it_fits(own, {"traceparent": "y" * 55})
    with_metadata({**own, KEY: "k" * KEY_CHARACTERS_MAX}, b"")


async def _sent(client: Client, method: str, message: bytes) -> Any:
    """The answer to a request that says that it has metadata."""
    await client.call("ledger/nothing")
    connection = client._keeper.connection
    assert connection is not None
    now_ns = time.monotonic_ns()
    number = method_id("ledger", method)
    call = OutgoingCall(number, now_ns + 5_000_000_000, asyncio.get_running_loop())
    connection.call(call, message, now_ns, 0, METADATA)
    return await call


@service("frames")
class Frames:
    @rpc
    async def put(self, frame: memoryview) -> int:
        raise NotImplementedError

    @rpc
    async def get(self, size: int) -> memoryview:
        raise NotImplementedError


class FrameDesk(Frames):
    @rpc
    async def put(self, frame: memoryview) -> int:
        current_call().reply_metadata.update(current_call().metadata)
        return len(frame)

    @rpc
    async def get(self, size: int) -> memoryview:
        current_call().reply_metadata.update(current_call().metadata)
        return memoryview(bytes(size))


@pytest.mark.parametrize("size", [0, 5_000, 100_000, 3_000_000])
async def test_views_of_any_size_carry_metadata_both_ways(via: Via, size: int) -> None:
    sent: dict[str, str | bytes] = {"tenant": "a"}
    back: dict[str, str | bytes] = {}
    async with (
        serve(FrameDesk(), "127.0.0.1:0", via=via) as server,
        connect(server.address, via=via) as client,
    ):
        stub = client.stub(Frames)
        for _ in range(2):
            put = stub.put.using(metadata=sent, reply_metadata=back)
            assert (await put(memoryview(bytes(size))), back) == (size, sent)
            back.clear()
            get = stub.get.using(metadata=sent, reply_metadata=back)
            assert (len(await get(size)), back) == (size, sent)
            back.clear()


async def test_what_a_call_asks_for_is_over_what_its_client_does(network: Via) -> None:
    back: Metadata = {}
    async with (
        serve(FrameDesk(), "127.0.0.1:1", via=network) as server,
        connect(server.address, via=network) as client,
    ):
        own = client.using(metadata={"tenant": "a", "user": "b"}, reply_metadata=back)
        put = own.stub(Frames).put.using(metadata={"tenant": "c"}, timeout=5.0)
        assert await put(memoryview(b"abc")) == 3
    assert back == {"tenant": "c", "user": "b"}


async def test_many_calls_leave_no_place_for_metadata(client: Client) -> None:
    carrying = client.using(metadata={"tenant": "a"}, reply_metadata={})
    assert await carrying.call_many(Ledger.echo, [b"a", b"b"]) == [b"a", b"b"]
    connection = client._keeper.connection
    assert connection is not None
    assert not connection.reply_metadata


@pytest.mark.parametrize("size", [0, 100, 100_000])
async def test_a_handler_is_given_the_payload_alone(client: Client, size: int) -> None:
    metadata: Metadata = {"tenant": "a", "trace": b"1"}
    answer = await _sent(client, "echo", with_metadata(metadata, bytes(size)))
    assert answer == bytes(size)


async def test_a_call_without_readable_metadata_is_refused(
    client: Client, book: LedgerBook
) -> None:
    answer = await _sent(client, "nothing", b"\xff\xff\xff\xffjunk")
    assert (answer.status, book.journal) == (InvalidArgument.code, ["nothing"])
