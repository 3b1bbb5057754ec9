"""A DPDK engine and a UDP engine on two hosts joined by a veth pair, with and without faults."""

from pathlib import Path

import pytest

from tests.e2e.processes import Fleet, two_hosts
from transport_engine.hugepages import hugepages

pytestmark = [pytest.mark.dpdk, pytest.mark.netns]

CALLS = 100_000
WINDOW = 64
HUGE_MIB = 256
FAULTS = "[engine.faults]\nloss = 0.05\nduplicate = 0.05\ncorrupt = 0.05\nseed = 7"
DEVICES = {
    "af_packet": "--no-huge -m 256 --no-pci --vdev=net_af_packet0,iface=mrpc0",
    "af_xdp": "--in-memory --single-file-segments --no-pci --vdev=net_af_xdp0,iface=mrpc0",
}


def dpdk(device: str) -> str:
    return (
        f'driver = "dpdk"\nnetif = "{DEVICES[device]}"\naddress = "10.77.0.1"\n'
        'prefix_bits = 24\nsecurity = "none"'
    )


UDP = 'driver = "udp"\naddress = "10.77.0.2"\nsecurity = "none"'


@pytest.mark.parametrize(
    ("device", "faults"),
    [("af_packet", ""), ("af_packet", FAULTS), ("af_xdp", FAULTS)],
    ids=["af_packet clean", "af_packet faulty", "af_xdp faulty"],
)
def test_every_call_is_answered_rightly(tmp_path: Path, device: str, faults: str) -> None:
    with (
        hugepages(HUGE_MIB if device == "af_xdp" else 0),
        two_hosts() as (left, right),
        Fleet(tmp_path) as fleet,
    ):
        client_engine = fleet.engine("dpdk", f"{dpdk(device)}\n{faults}", left)
        server_engine = fleet.engine("udp", f"{UDP}\n{faults}", right)
        fleet.serve("10.77.0.2:7000", server_engine, right)
        result = fleet.load(CALLS, WINDOW, "10.77.0.2:7000", client_engine, left)
    assert result["wrong"] == 0
    assert result["served"] == CALLS  # none lost, none doubled
    assert result["transport"].startswith("sidecar+dpdk")
