"""What an engine says of its open flows, page by page, and to whom."""

import os
from dataclasses import dataclass, replace

import pytest

from tests.transport_engine.records import field, packed
from tests.transport_engine.sidecars import POLICY, Sidecar, records, until
from transport_engine import Endpoint, Engine, EngineConfig, Limits, messages, read_flows
from transport_engine._native import ffi, lib
from transport_engine.flows import CORE_BITS, FlowPage, FlowReport, page_of, placed, unpacked
from transport_engine.onlookers import seen_by
from transport_engine.policy import Peer, Tenant

REPORT = FlowReport("127.0.0.1:1", "127.0.0.1:2", 3, 0, 1, 2, 3, 4, 5, 6, 7, 8)


async def test_both_ends_of_a_flow_are_told(sidecar: Sidecar) -> None:
    assert await read_flows(sidecar.path) == []
    server, client = await sidecar.application(), await sidecar.application()
    port = await server.listen(0)
    await client.connect(Endpoint(client.local.address, port), token=1)
    ((opened, _),) = await records(client, 1)
    await records(server, 1)
    client.channel.send(packed(b"hello", flow=field(opened, "flow")))
    client.channel.ring()
    await records(server, 1)
    ends = {report.local: report for report in await read_flows(sidecar.path)}
    far, near = ends[f"127.0.0.1:{port}"], ends[str(client.local)]
    assert (near.remote, far.remote) == (far.local, near.local)
    assert (far.channel, near.channel) == (0, 1)
    assert 0 < near.rtt_min_ns <= near.srtt_ns < near.open_ns
    assert near.packets_sent > 1
    assert near.packets_lost == 0
    assert near.window_bytes > 0
    await client.close()
    await until(lambda: sidecar.engine.stats()["flows_open"] == 0)
    assert await read_flows(sidecar.path) == []
    await server.close()


async def test_all_pages_are_read(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    def page(first: int) -> FlowPage:
        return [replace(REPORT, messages=first)] * 3, None if first == 40 else first + 1

    monkeypatch.setattr(sidecar.engine, "flows", page)
    seen = [report.messages for report in await read_flows(sidecar.path)]
    assert seen == [first for first in range(41) for _ in range(3)]


def engine_with(flows: int) -> Engine:
    """An engine in memory that calls itself; half of its flows are the far ends."""
    limits = Limits(flows_max=600, pool_bytes=64 << 20)
    engine = Engine(EngineConfig(driver="loopback", limits=limits))
    channel, _ = engine.attach(lib.TE_RING_BYTES_MIN)
    port = engine.listen(channel, 0)
    for token in range(flows // 2):
        engine.connect(channel, Endpoint(engine.local.address, port), token)
    for _ in range(10_000):
        engine.poll()
        if engine.stats()["flows_open"] == flows:
            return engine
    raise AssertionError("they never opened")


@pytest.mark.parametrize("flows", [0, 2, lib.TE_FLOWS_PAGE, lib.TE_FLOWS_PAGE + 2, 100])
def test_pages_hold_each_flow_once(flows: int) -> None:
    with engine_with(flows) as engine:
        found: list[FlowReport] = []
        pages = 0
        following: int | None = 0
        while following is not None:
            page, following = engine.flows(following)
            assert len(page) <= lib.TE_FLOWS_PAGE
            found += page
            pages += 1
        assert len(found) == flows
        assert pages <= 3 + flows // lib.TE_FLOWS_PAGE + 600 // lib.TE_FLOWS_LOOKED_AT


@pytest.mark.parametrize("first", [599, 600, (1 << 32) - 1])
def test_a_page_from_anywhere_is_a_page(first: int) -> None:
    with engine_with(2) as engine:
        assert engine.flows(first) == ([], None)


def test_a_page_of_ipv6_fits_into_a_message() -> None:
    far = f"[{':'.join(['ffff'] * 8)}]:65535"
    most = (1 << 64) - 1
    report = FlowReport(far, far, 1 << 31, 1 << 31, *([most] * 8))
    answer = messages.pack({"id": most, "result": {"flows": [], "next": most}})
    flows = seen_by(Session(os.geteuid()), [], ([report] * lib.TE_FLOWS_PAGE, most))
    assert unpacked(flows) == ([report] * lib.TE_FLOWS_PAGE, most)
    assert len(answer) + len(messages.pack(flows)) <= messages.MESSAGE_BYTES_MAX


@dataclass
class Session:
    uid: int
    tenant: Tenant = POLICY.owner
    channel: int | None = None

    @property
    def peer(self) -> Peer:
        return Peer(1, self.uid, 1)


def test_others_see_the_flows_of_their_tenant_only() -> None:
    own, other = replace(POLICY.owner, name="own"), replace(POLICY.owner, name="other")
    asker = Session(os.geteuid() + 12345, own)
    sessions = [asker, Session(1, own, 3), Session(1, other, 4), Session(1, own)]
    page = [replace(REPORT, channel=channel) for channel in (3, 4, 5, None)]
    seen, following = unpacked(seen_by(asker, sessions, (page, 9)))
    assert ([report.channel for report in seen], following) == ([3], 9)
    for uid in (0, os.geteuid()):
        assert unpacked(seen_by(Session(uid, other), sessions, (page, None))) == (page, None)


def test_the_pages_of_a_team_follow_each_other() -> None:
    assert placed(([REPORT], 7), 1, 3, 64) == (
        [replace(REPORT, channel=67)],
        1 | 7 << CORE_BITS,
    )
    gone = replace(REPORT, channel=None)
    assert placed(([gone], None), 1, 3, 64) == ([gone], 2)
    assert placed(([], None), 2, 3, 64) == ([], None)


def test_a_page_is_copied_from_c() -> None:
    def fill(page: object) -> None:
        filled = ffi.cast("struct te_flow_page *", page)
        filled.count, filled.next = 1, (1 << 32) - 1
        filled.flows[0].channel = (1 << 32) - 1
        filled.flows[0].packets_lost = 5

    (report,), following = page_of(fill, 3)
    assert (report.channel, report.packets_lost, following) == (None, 5, None)
