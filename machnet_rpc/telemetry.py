"""Spans and metrics of calls by OpenTelemetry: `middleware=[Telemetry()]`, at clients and servers.

Needs its API (`pip install 'machnet-rpc[otel]'`); what records and sends is the application's SDK.
Without one it still hands on the trace that a call belongs to.
Source: OpenTelemetry semantic conventions 1.45.0, RPC spans and metrics; which codes are errors is
said there for gRPC, whose codes ours are
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal, Protocol, Self

from idl.raised import class_name, is_of, said
from machnet_rpc import _clock
from machnet_rpc._aio.handler_task import ends_process
from machnet_rpc._aio.items import closed
from machnet_rpc._metadata import add_where_it_fits
from machnet_rpc._options import Metadata
from machnet_rpc._transports.address import split
from machnet_rpc.errors import AddressError, Code, RpcError
from machnet_rpc.middleware import GIVE_ITEMS, CallInfo, Next, Request

try:
    from opentelemetry import context as contexts
    from opentelemetry import metrics, propagate, trace
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        "machnet_rpc.telemetry needs the API of OpenTelemetry: pip install 'machnet-rpc[otel]'",
        name=_missing.name,
    ) from _missing

__all__ = ["Telemetry"]

SYSTEM: Final = "machnet_rpc"  # as `rpc.system.name`
SCHEMA: Final = "https://opentelemetry.io/schemas/1.45.0"
OTHER: Final = "_OTHER"  # as `rpc.method`, where nobody knows whether there is one of that name
OK: Final = "OK"
ADDRESSES_MAX: Final = 1024  # of which it is kept what their host and port are
BOUNDARIES: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0
)  # fmt: skip
SERVER_ERRORS: Final = frozenset(
    code.name
    for code in (
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    )
)

_KINDS: Final = {"client": trace.SpanKind.CLIENT, "server": trace.SpanKind.SERVER}


class GivesTracers(Protocol):
    """A TracerProvider of OpenTelemetry, in words that every type checker follows there."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> Any: ...


class GivesMeters(Protocol):
    """A MeterProvider."""

    def get_meter(self, *args: Any, **kwargs: Any) -> Any: ...


class Telemetry:
    """A middleware that makes a span of each call, and counts how long it took.

    At a client a call is one however often it is tried, and carries the span as its trace context;
    at a server the span is a child of it, and current while the handler runs. Providers are the
    global ones unless given. `methods` ("service/method") are those that a client calls by name:
    others are "_OTHER". `boundaries` (seconds) divide the histograms.
    """

    def __init__(
        self,
        *,
        tracer_provider: GivesTracers | None = None,
        meter_provider: GivesMeters | None = None,
        methods: Iterable[str] = (),
        boundaries: Iterable[float] = BOUNDARIES,
    ) -> None:
        self._methods = frozenset(methods)
        tracers = tracer_provider or trace.get_tracer_provider()
        meters = meter_provider or metrics.get_meter_provider()
        self._tracer: trace.Tracer = tracers.get_tracer(SYSTEM, _version(), SCHEMA)
        meter: metrics.Meter = meters.get_meter(SYSTEM, _version(), SCHEMA)
        advised = list(boundaries)
        self._durations = {
            "client": _histogram(meter, "client", "an outgoing", advised),
            "server": _histogram(meter, "server", "an incoming", advised),
        }

    def __repr__(self) -> str:
        return "<Telemetry>"

    async def __call__(self, call: CallInfo, request: Request, following: Next) -> Any:
        """The middleware."""
        observed = self._begun(call)
        # What a handler that gives items sees while it does: its context ends with it.
        is_kept = call.side == "server" and call.kind in GIVE_ITEMS
        token = contexts.attach(observed.context)
        try:
            given = await following(request)
        except BaseException as error:
            observed.fail(error)
            raise
        finally:
            if not is_kept:
                contexts.detach(token)
        if call.kind in GIVE_ITEMS:
            return _ObservedItems(given, observed)
        observed.end(OK)
        return given

    def _begun(self, call: CallInfo) -> "_ObservedCall":
        is_known = not call.is_by_name or call.method in self._methods
        shared: dict[str, Any] = {
            "rpc.system.name": SYSTEM,
            "rpc.method": call.method if is_known else OTHER,
        }
        server = _endpoint("server", call.server)
        own = server if is_known else {**server, "rpc.method_original": call.method}
        if call.side == "server":
            own |= _endpoint("client", call.peer)
            around = _received(call.metadata)
        else:
            shared |= server
            around = contexts.get_current()
        began = time.time_ns(), _clock.monotonic_ns()
        span = self._tracer.start_span(
            call.method if is_known else SYSTEM,
            around,
            _KINDS[call.side],
            shared | own,
            start_time=began[0],
        )
        is_real = span.get_span_context().is_valid  # else some APIs would cut the trace here
        inside = trace.set_span_in_context(span, around) if is_real else around
        if call.side == "client":
            carrier: dict[str, str] = {}
            propagate.inject(carrier, inside)
            if carrier:
                add_where_it_fits(call.metadata, carrier)
        counted = self._durations[call.side], shared
        return _ObservedCall(call, span, inside, counted, began)


class _ObservedCall:
    """One call from its begin to its end, which is told once."""

    def __init__(
        self,
        call: CallInfo,
        span: trace.Span,
        context: contexts.Context,
        counted: tuple[metrics.Histogram, Mapping[str, Any]],
        began: tuple[int, int],
    ) -> None:
        self.context = context
        self._call = call
        self._span = span
        self._duration, self._attributes = counted
        self._began_ns, self._began_monotonic_ns = began
        self._is_over = False

    def end(self, code: str, *, error: str | None = None) -> None:
        """It ended with this code, which is an error if there is something to say of it."""
        if self._is_over:
            return
        self._is_over = True
        took_ns = _clock.monotonic_ns() - self._began_monotonic_ns
        ended: dict[str, Any] = {"rpc.status_code": code}
        if error is not None:
            ended["error.type"] = code
            self._span.set_status(trace.StatusCode.ERROR, error)
        self._span.set_attributes(ended)
        self._span.end(self._began_ns + took_ns)
        self._duration.record(took_ns / 1e9, {**self._attributes, **ended}, self.context)

    def fail(self, error: BaseException) -> None:
        """It ended with what was raised."""
        code = self._code_of(error)
        is_error = self._call.side == "client" or code in SERVER_ERRORS
        words = said(error)
        if not is_of(error, RpcError):
            words = f"{class_name(error)}: {words}"
        self.end(code, error=words if is_error else None)

    def leave(self) -> None:
        """Nobody wants the rest of its items, which is no error unless time was over."""
        code = self._code_of(asyncio.CancelledError())
        is_error = code == Code.DEADLINE_EXCEEDED.name
        self.end(code, error="the call's time was over" if is_error else None)

    def _code_of(self, error: BaseException) -> str:
        if is_of(error, RpcError):
            return _name_of_code(error)
        if is_of(error, asyncio.CancelledError) or is_of(error, GeneratorExit):
            is_late = self._call.remaining == 0
            return Code.DEADLINE_EXCEEDED.name if is_late else Code.CANCELLED.name
        return Code.INTERNAL.name if ends_process(error) else Code.UNKNOWN.name


class _ObservedItems:
    """The items of a call, whose end is the call's."""

    def __init__(self, items: Any, observed: _ObservedCall) -> None:
        self._observed = observed
        self._items = aiter(items)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._items)
        except StopAsyncIteration:
            self._observed.end(OK)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            raise  # who waits for an item gives up; the call goes on, or is closed next
        except BaseException as error:
            self._observed.fail(error)
            raise

    async def aclose(self) -> None:
        try:
            await closed(self._items)
        finally:
            self._observed.leave()

    def __del__(self) -> None:
        self._observed.leave()


def _name_of_code(error: RpcError) -> str:
    """The user's own may have one that is none, which travels as UNKNOWN."""
    try:
        return Code(error.code).name
    except Exception:  # noqa: BLE001 (it is the user's)
        return Code.UNKNOWN.name


def _version() -> str:
    try:
        return version("machnet-rpc")
    except PackageNotFoundError:  # a checkout that is not installed
        return ""


def _histogram(
    meter: metrics.Meter, side: Literal["client", "server"], which: str, boundaries: list[float]
) -> metrics.Histogram:
    return meter.create_histogram(
        f"rpc.{side}.call.duration",
        "s",
        f"Measures the duration of {which} Remote Procedure Call (RPC).",
        explicit_bucket_boundaries_advisory=boundaries,
    )


def _received(metadata: Metadata) -> contexts.Context:
    """What a server's call belongs to: not to what its server was started in."""
    carrier = {name: value for name, value in metadata.items() if isinstance(value, str)}
    return propagate.extract(carrier, contexts.Context())


def _endpoint(whose: str, address: str) -> dict[str, Any]:
    """Attributes for "host:port"; none where that is not known."""
    parts = _parts(address)
    return {f"{whose}.address": parts[0], f"{whose}.port": parts[1]} if parts else {}


@lru_cache(maxsize=ADDRESSES_MAX)
def _parts(address: str) -> tuple[str, int] | None:
    """Host and port; None where that is not known."""
    try:
        return split(address)
    except AddressError:
        return None
