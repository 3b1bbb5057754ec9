"""A service whose calls are observed, and what OpenTelemetry's SDK was given of them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from machnet_rpc import Client, Code, NotFound, RetryPolicy, RpcError, connect, rpc, serve, service
from machnet_rpc._transports.ladder import Via
from machnet_rpc.context import CURRENT
from machnet_rpc.telemetry import Telemetry
from tests.machnet_rpc.waiting import until

QUICK = RetryPolicy(first_pause=0.001, longest_pause=0.002)


@service("desk", errors=[KeyError])
class Desk:
    @rpc
    async def double(self, number: int) -> int:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def book(self, number: int) -> int:
        raise NotImplementedError

    @rpc(idempotent=True)
    async def cut(self) -> int:
        raise NotImplementedError

    @rpc
    async def fail(self, how: str) -> int:
        raise NotImplementedError

    @rpc
    def count(self, until: int) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc
    async def total(self, numbers: AsyncIterator[int]) -> int:
        raise NotImplementedError

    @rpc
    def doubled(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc(oneway=True)
    async def note(self, number: int) -> None:
        raise NotImplementedError


class DeskServer(Desk):
    """Notes the span that each handler sees; `cuts` of the calls lose their flow."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.cuts = 0

    def _note(self) -> None:
        self.seen.append(trace.get_current_span().get_span_context().span_id)

    @rpc
    async def double(self, number: int) -> int:
        self._note()
        return 2 * number

    @rpc(idempotent="keyed")
    async def book(self, number: int) -> int:
        self._note()
        return 2 * number

    @rpc(idempotent=True)
    async def cut(self) -> int:
        self._note()
        if self.cuts:
            self.cuts -= 1
            call = CURRENT.get()
            assert call is not None
            call.connection.close()
            await asyncio.sleep(5.0)
        return 1

    @rpc
    async def fail(self, how: str) -> int:
        match how:
            case "declared":
                raise KeyError("a")
            case "undeclared":
                raise ZeroDivisionError("by 0")
            case "slow":
                await asyncio.sleep(60)
            case _:
                raise RpcError("so it is", code=Code[how])
        return 0

    @rpc
    async def count(self, until: int) -> AsyncIterator[int]:
        for number in range(until):
            self._note()
            yield number
        if until == 3:
            raise NotFound("no more")

    @rpc
    async def total(self, numbers: AsyncIterator[int]) -> int:
        self._note()
        return sum([number async for number in numbers])

    @rpc
    async def doubled(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            self._note()
            yield 2 * number

    @rpc(oneway=True)
    async def note(self, number: int) -> None:
        self._note()


async def numbers(*given: int) -> AsyncIterator[int]:
    for number in given:
        yield number


class Seen:
    """One middleware for both sides, and what it told."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._meters = MeterProvider([self._reader])
        providers: dict[str, Any] = {
            "tracer_provider": self.tracers,
            "meter_provider": self._meters,
        }
        self.telemetry = Telemetry(**providers, **options)

    def spans(self, kind: SpanKind) -> list[ReadableSpan]:
        """Those of the desk's calls that ended, in order; a client may ask for schemas, too."""
        return [each for each in self._finished() if each.kind is kind]

    async def both(self) -> tuple[ReadableSpan, ReadableSpan]:
        """The one call's span at the client and at the server."""
        await until(lambda: len(self._finished()) == 2)
        (client,), (server,) = self.spans(SpanKind.CLIENT), self.spans(SpanKind.SERVER)
        self._exporter.clear()
        return client, server

    def _finished(self) -> list[ReadableSpan]:
        return [
            span
            for span in self._exporter.get_finished_spans()
            if span.name != "mrpc.reflection/schema"
        ]

    def durations(self, side: str) -> list[HistogramDataPoint]:
        """What the histogram of a side holds."""
        data = self._reader.get_metrics_data()
        found = [
            metric
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"rpc.{side}.call.duration"
        ]
        points = [point for metric in found for point in metric.data.data_points]
        assert all(metric.unit == "s" for metric in found)
        return [
            point
            for point in points
            if isinstance(point, HistogramDataPoint)
            and dict(point.attributes or {})["rpc.method"] != "mrpc.reflection/schema"
        ]


@asynccontextmanager
async def pair(
    via: Via, desk: Desk, seen: Seen, *, is_client: bool = True
) -> AsyncGenerator[Client]:
    around = [seen.telemetry]
    async with (
        serve(desk, "127.0.0.1:0", via=via, middleware=around) as server,
        connect(
            server.address,
            via=via,
            timeout=5.0,
            retries=QUICK,
            middleware=around if is_client else (),
        ) as client,
    ):
        yield client


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
