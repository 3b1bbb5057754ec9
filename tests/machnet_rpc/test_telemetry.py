"""Spans and metrics: what OpenTelemetry's SDK is given for calls of all kinds and ends."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from machnet_rpc import (
    Client,
    Code,
    DeadlineExceeded,
    NotFound,
    RpcError,
    Unavailable,
    connect,
    current_call,
    rpc,
)
from machnet_rpc._options import Metadata
from machnet_rpc._transports.ladder import Via
from machnet_rpc.middleware import CallInfo, Middleware, Next, Request
from machnet_rpc.telemetry import BOUNDARIES, SERVER_ERRORS, Telemetry
from machnet_rpc.testing import VirtualClock, test_client
from machnet_rpc.tracing import TraceContext
from tests.machnet_rpc.observed import Desk, DeskServer, Seen, attributes, numbers, pair
from tests.machnet_rpc.waiting import until


@pytest.fixture
def seen() -> Seen:
    return Seen()


async def made(client: Client, kind: str) -> None:
    desk = client.stub(Desk)
    match kind:
        case "unary":
            assert await desk.double(4) == 8
        case "keyed":
            assert await desk.book(4) == 8
        case "server_stream":
            assert [item async for item in desk.count(2)] == [0, 1]
        case "client_stream":
            assert await desk.total(numbers(1, 2)) == 3
        case "bidirectional":
            assert [item async for item in desk.doubled(numbers(1, 2))] == [2, 4]
        case _:
            await desk.note(1)


METHODS = {
    "unary": "desk/double",
    "keyed": "desk/book",
    "server_stream": "desk/count",
    "client_stream": "desk/total",
    "bidirectional": "desk/doubled",
    "oneway": "desk/note",
}


async def test_every_kind_of_call_has_a_span_on_both_sides(via: Via, seen: Seen) -> None:
    desk = DeskServer()
    async with pair(via, desk, seen) as client:
        for kind, method in METHODS.items():
            await made(client, kind)
            at_client, at_server = await seen.both()
            host, _, port = client.address.rpartition(":")
            shared = {
                "rpc.system.name": "machnet_rpc",
                "rpc.method": method,
                "rpc.status_code": "OK",
                "server.address": host,
                "server.port": int(port),
            }
            assert at_client.name == at_server.name == method
            assert attributes(at_client) == shared
            peer = attributes(at_server)
            assert peer.pop("client.address") == host
            assert peer.pop("client.port") > 0
            assert peer == shared
            assert at_client.status.status_code is at_server.status.status_code is StatusCode.UNSET
            assert at_server.parent is not None
            assert at_client.context is not None
            assert at_server.context is not None
            assert at_client.parent is None
            assert at_server.parent.span_id == at_client.context.span_id
            assert at_server.context.trace_id == at_client.context.trace_id
            assert set(desk.seen) == {at_server.context.span_id}
            desk.seen.clear()
    assert trace.get_current_span() is trace.INVALID_SPAN
    for side in ("client", "server"):
        assert sum(point.count for point in seen.durations(side)) == len(METHODS)


async def test_durations_are_those_of_the_spans(network: Via, seen: Seen) -> None:
    async with pair(network, DeskServer(), seen) as client:
        for _ in range(2):
            await made(client, "unary")
        with pytest.raises(RpcError):
            await client.stub(Desk).fail("INTERNAL")
    host, _, port = client.address.rpartition(":")
    for side, kind in (("client", SpanKind.CLIENT), ("server", SpanKind.SERVER)):
        good, bad = sorted(seen.durations(side), key=lambda point: -point.count)
        where = {"server.address": host, "server.port": int(port)} if side == "client" else {}
        system = {"rpc.system.name": "machnet_rpc", **where}
        assert dict(good.attributes or {}) == {
            **system,
            "rpc.method": "desk/double",
            "rpc.status_code": "OK",
        }
        assert dict(bad.attributes or {}) == {
            **system,
            "rpc.method": "desk/fail",
            "rpc.status_code": "INTERNAL",
            "error.type": "INTERNAL",
        }
        assert (good.count, bad.count) == (2, 1)
        assert tuple(good.explicit_bounds) == BOUNDARIES
        took = [(each.end_time or 0) - (each.start_time or 0) for each in seen.spans(kind)]
        assert good.sum == pytest.approx(sum(took[:2]) / 1e9)
        assert bad.sum == pytest.approx(took[2] / 1e9)


@pytest.mark.parametrize("code", [code.name for code in Code])
async def test_each_code_is_an_error_at_clients_and_some_at_servers(
    network: Via, seen: Seen, code: str
) -> None:
    async with pair(network, DeskServer(), seen) as client:
        with pytest.raises(RpcError):
            await client.stub(Desk).fail(code)
        at_client, at_server = await seen.both()
    assert attributes(at_client)["error.type"] == code
    assert attributes(at_client)["rpc.status_code"] == code
    assert at_client.status.status_code is StatusCode.ERROR
    assert "so it is" in (at_client.status.description or "")
    assert attributes(at_server)["rpc.status_code"] == code
    failed = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE")
    is_error = code in (*failed, "DATA_LOSS")
    assert (code in SERVER_ERRORS) == is_error
    assert (at_server.status.status_code is StatusCode.ERROR) == is_error
    assert attributes(at_server).get("error.type") == (code if is_error else None)


@pytest.mark.parametrize("how", ["declared", "undeclared"])
async def test_other_exceptions_are_unknown(network: Via, seen: Seen, how: str) -> None:
    raised = {"declared": KeyError, "undeclared": RpcError}[how]
    async with pair(network, DeskServer(), seen) as client:
        with pytest.raises(raised):
            await client.stub(Desk).fail(how)
        for span in await seen.both():
            assert attributes(span)["error.type"] == attributes(span)["rpc.status_code"]
            assert attributes(span)["rpc.status_code"] == "UNKNOWN"
            assert span.status.status_code is StatusCode.ERROR


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unheard(BaseException):
    pass


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (Unprintable(), "Unprintable"),
        (Unheard("a"), "Unheard"),
        (RpcError("a", code=77), "77 is no"),  # type: ignore[arg-type]
    ],
    ids=["Unprintable", "Unheard", "RpcError"],
)
async def test_a_span_ends_whatever_is_raised(
    network: Via, seen: Seen, raised: BaseException, words: str
) -> None:
    class Odd(DeskServer):
        @rpc
        async def fail(self, how: str) -> int:
            raise raised

    async with pair(network, Odd(), seen) as client:
        with pytest.raises(RpcError) as caught:
            await client.stub(Desk).fail("")
        assert caught.value.code is Code.UNKNOWN
        for span in await seen.both():
            assert attributes(span)["rpc.status_code"] == "UNKNOWN"
            assert words in (span.status.description or "")


async def test_a_stream_fails_with_what_comes_after_its_items(network: Via, seen: Seen) -> None:
    async with pair(network, DeskServer(), seen) as client:
        with pytest.raises(NotFound):
            assert [item async for item in client.stub(Desk).count(3)]
        at_client, at_server = await seen.both()
    assert attributes(at_client)["rpc.status_code"] == "NOT_FOUND"
    assert at_client.status.status_code is StatusCode.ERROR
    assert attributes(at_server)["rpc.status_code"] == "NOT_FOUND"
    assert at_server.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("how", ["block", "drop"])
async def test_a_stream_that_is_left_early_is_no_error(network: Via, seen: Seen, how: str) -> None:
    async with pair(network, DeskServer(), seen) as client:
        items = client.stub(Desk).count(1_000_000)
        assert await anext(items) == 0
        assert not seen.spans(SpanKind.CLIENT)
        if how == "block":
            await items.aclose()
        del items
        for span in await seen.both():
            assert attributes(span)["rpc.status_code"] == "CANCELLED"
            assert span.status.status_code is StatusCode.UNSET
    assert [point.count for point in seen.durations("client")] == [1]
    assert [point.count for point in seen.durations("server")] == [1]


async def test_deadlines_and_cancels(network: Via, seen: Seen) -> None:
    async with pair(network, DeskServer(), seen) as client:
        fail = client.stub(Desk).fail
        with pytest.raises(DeadlineExceeded):
            await fail.using(timeout=0.05)("slow")
        for span in await seen.both():
            assert attributes(span)["error.type"] == "DEADLINE_EXCEEDED"
        call = asyncio.ensure_future(fail("slow"))
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        at_client, at_server = await seen.both()
        assert attributes(at_client)["error.type"] == "CANCELLED"
        assert attributes(at_server)["rpc.status_code"] == "CANCELLED"
        assert at_server.status.status_code is StatusCode.UNSET


async def test_a_stream_whose_time_is_over_fails_on_both_sides(network: Via, seen: Seen) -> None:
    async def waiting() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(60)

    codes: list[object] = []
    async with pair(network, DeskServer(), seen) as client:
        for timeout in (
            0.05,
            0.2,
            0.8,
        ):  # the client's word of it may come before the server's time
            with pytest.raises(DeadlineExceeded):
                async for _ in client.stub(Desk).doubled.using(timeout=timeout)(waiting()):
                    pass
            codes = [attributes(span).get("error.type") for span in await seen.both()]
            if codes == ["DEADLINE_EXCEEDED"] * 2:
                break
    assert codes == ["DEADLINE_EXCEEDED"] * 2


async def test_retries_are_one_call_at_the_client(network: Via, seen: Seen) -> None:
    desk = DeskServer()
    desk.cuts = 2
    async with pair(network, desk, seen) as client:
        assert await client.stub(Desk).cut() == 1
        (at_client,) = seen.spans(SpanKind.CLIENT)
        await until(lambda: len(seen.spans(SpanKind.SERVER)) == 3)
        assert attributes(at_client)["rpc.status_code"] == "OK"
        assert at_client.context is not None
        for each in seen.spans(SpanKind.SERVER):
            assert each.parent is not None
            assert each.parent.span_id == at_client.context.span_id


async def test_nobody_listens(network: Via, seen: Seen) -> None:
    around = [seen.telemetry]
    async with connect("127.0.0.1:1", via=network, wait=False, middleware=around) as client:
        with pytest.raises(Unavailable):
            await client.stub(Desk).double(1)
    (span,) = seen.spans(SpanKind.CLIENT)
    assert attributes(span)["error.type"] == "UNAVAILABLE"


async def test_by_name_only_known_methods_are_named(network: Via, seen: Seen) -> None:
    knows = Seen()
    knows.telemetry = Telemetry(tracer_provider=knows.tracers, methods=["desk/double"])
    for each in (seen, knows):
        async with pair(network, DeskServer(), each) as client:
            assert await client.call("desk/double", 2) == 4
            at_client, at_server = await each.both()
            assert attributes(at_server)["rpc.method"] == "desk/double"
            if each is knows:
                assert at_client.name == attributes(at_client)["rpc.method"] == "desk/double"
                assert "rpc.method_original" not in attributes(at_client)
            else:
                assert at_client.name == "machnet_rpc"
                assert attributes(at_client)["rpc.method"] == "_OTHER"
                assert attributes(at_client)["rpc.method_original"] == "desk/double"
    (point,) = seen.durations("client")
    assert dict(point.attributes or {})["rpc.method"] == "_OTHER"
    assert "rpc.method_original" not in dict(point.attributes or {})


async def test_spans_belong_to_what_the_caller_is_in(network: Via, seen: Seen) -> None:
    tracer = seen.tracers.get_tracer("test")
    async with pair(network, DeskServer(), seen) as client:
        around = tracer.start_span("around")
        with trace.use_span(around):
            await made(client, "unary")
        at_client, _ = await seen.both()
        assert at_client.parent == around.get_span_context()


async def test_a_server_takes_a_valid_parent_and_no_other(network: Via, seen: Seen) -> None:
    plain = TraceContext.new(sampled=True)
    tracer = seen.tracers.get_tracer("test")
    given: list[Metadata] = [
        {},
        {"traceparent": b"\xff", "tracestate": b""},
        {"traceparent": "?"},
        plain.as_metadata(),
    ]
    with tracer.start_as_current_span("the server's start"):
        async with pair(network, DeskServer(), seen, is_client=False) as client:
            for metadata in given:
                assert await client.using(metadata=metadata).stub(Desk).double(1) == 2
            spans = seen.spans(SpanKind.SERVER)
    assert [span.parent is None for span in spans] == [True, True, True, False]
    assert spans[3].parent is not None
    assert f"{spans[3].parent.span_id:016x}" == plain.parent_id
    assert spans[3].parent.is_remote


async def test_an_inner_middleware_sees_the_span(network: Via, seen: Seen) -> None:
    inside: list[bool] = []

    async def looking(call: CallInfo, request: Request, following: Next) -> Any:
        inside.append(trace.get_current_span().is_recording())
        return await following(request)

    around: list[Middleware] = [seen.telemetry, looking]
    async with test_client(
        DeskServer(), client_middleware=around, server_middleware=around
    ) as client:
        await made(client, "unary")
        await made(client, "server_stream")
    assert inside == [True] * 4


async def test_without_an_sdk_the_trace_goes_on(network: Via) -> None:
    heard: list[TraceContext | None] = []

    class Hearing(DeskServer):
        @rpc
        async def double(self, number: int) -> int:
            heard.append(current_call().trace)
            return number

    plain = Telemetry(tracer_provider=trace.NoOpTracerProvider())
    place = TraceContext.new()
    span = trace.NonRecordingSpan(
        trace.SpanContext(int(place.trace_id, 16), int(place.parent_id, 16), is_remote=True)
    )
    async with test_client(
        Hearing(), client_middleware=[plain], server_middleware=[plain]
    ) as client:
        with trace.use_span(span):
            await client.stub(Desk).double(1)
        await client.stub(Desk).double(1)
    assert heard == [place, None]


def test_virtual_time_is_what_calls_take() -> None:
    async def main(seen: Seen) -> None:
        around = [seen.telemetry]
        async with (
            VirtualClock(),
            test_client(DeskServer(), client_middleware=around, server_middleware=around) as client,
        ):
            with pytest.raises(DeadlineExceeded):
                await client.stub(Desk).fail.using(timeout=7.0)("slow")

    asyncio.run(main(seen := Seen(boundaries=[1.0, 8.0])))
    (point,) = seen.durations("client")
    assert point.sum == pytest.approx(7.0, abs=0.1)
    assert list(point.bucket_counts) == [0, 1, 0]


def test_who_lacks_the_api_is_told() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import machnet_rpc, machnet_rpc.tracing\n"
        "try: import machnet_rpc.telemetry\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True
    )
    assert "pip install 'machnet-rpc[otel]'" in done.stdout
