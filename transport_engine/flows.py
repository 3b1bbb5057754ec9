"""The open flows of an engine, as they are at one moment: peers, round trips, windows, losses.

Knows a page of the table as C fills it, and flows as data. Does not know who may see which.
"""

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, fields, replace
from typing import Any, Final, TypeAlias

from transport_engine._native import ffi, lib
from transport_engine.endpoint import Endpoint

GONE: Final = (1 << 32) - 1  # of channels, and of pages
PAGE: Final[int] = lib.TE_FLOWS_PAGE


@dataclass(frozen=True, slots=True)
class FlowReport:
    """One flow; times that were not measured yet are 0. Units: as the names say.

    `channel` is the engine's number for the application's, None where that is gone.
    """

    local: str
    remote: str
    channel: int | None
    messages: int
    open_ns: int
    srtt_ns: int
    rtt_min_ns: int
    window_bytes: int
    in_flight_bytes: int
    packets_sent: int
    packets_lost: int
    packet_bytes: int


FlowPage: TypeAlias = tuple[list[FlowReport], int | None]
"""Flows, and where the next page begins; None: there is none."""
CORE_BITS: Final = 8  # of where a page of a team begins; the rest is the slot
CORE_MASK: Final = (1 << CORE_BITS) - 1
_COPIED: Final = tuple(field.name for field in fields(FlowReport))[3:]


def page_of(fill: Callable[[Any], object], first: int) -> FlowPage:
    """The page that begins at a slot; `fill` is given a `struct te_flow_page`."""
    page: Any = ffi.new("struct te_flow_page *")
    page.next = first
    fill(page)
    flows = [_report(page.flows[index]) for index in range(page.count)]
    return flows, None if page.next == GONE else int(page.next)


def placed(page: FlowPage, core: int, cores: int, channels: int) -> FlowPage:
    """The page of one engine of a team: as one of all their flows, engine after engine."""
    flows, following = page
    flows = [
        each if each.channel is None else replace(each, channel=core * channels + each.channel)
        for each in flows
    ]
    if following is not None:
        return flows, core | following << CORE_BITS
    return flows, None if core + 1 == cores else core + 1


def packed(page: FlowPage) -> dict[str, Any]:
    """A page for the control socket."""
    flows, following = page
    return {"flows": [astuple(each) for each in flows], "next": following}


def unpacked(result: dict[str, Any]) -> FlowPage:
    """The inverse of `packed`. Errors: TypeError, LookupError."""
    rows: Iterable[Iterable[Any]] = result["flows"]
    return [FlowReport(*row) for row in rows], result["next"]


def _report(report: Any) -> FlowReport:
    return FlowReport(
        str(Endpoint.from_c(report.local)),
        str(Endpoint.from_c(report.remote)),
        None if report.channel == GONE else int(report.channel),
        *(int(getattr(report, name)) for name in _COPIED),
    )
