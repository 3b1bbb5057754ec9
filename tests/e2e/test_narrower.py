"""A path that carries less from now on than when the engines started, and flows that go on."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import Fleet, ip, two_hosts

CALLS = 500
WINDOW = 16
WIDE, NARROW = "9000", "1300"

pytestmark = pytest.mark.netns


def udp(address: str) -> str:
    return f'driver = "udp"\naddress = "{address}"\nmtu_bytes = {WIDE}\nsecurity = "none"'


@contextmanager
def router_between(left: str, right: str) -> Generator[str]:
    """Takes the cable between two hosts of `two_hosts` to a third, which routes; yields its name.

    The hosts are 10.78.1.1 and 10.78.2.2, fd78:1::1 and fd78:2::2, on a wide link each.
    """
    router = f"mrpc-r-{os.getpid()}"
    ip("netns", "add", router)
    try:
        ip("-n", left, "link", "delete", "mrpc0")
        for number, host in enumerate((left, right), start=1):
            port = f"to{number}"
            ip("link", "add", port, "netns", router, "type", "veth", "peer", "mrpc0", "netns", host)
            for netns, device, last in ((router, port, 9), (host, "mrpc0", number)):
                ip("-n", netns, "address", "add", f"10.78.{number}.{last}/24", "dev", device)
                ip("-n", netns, "address", "add", f"fd78:{number}::{last}/64", "dev", device,
                   "nodad")  # fmt: skip
                ip("-n", netns, "link", "set", device, "mtu", WIDE, "up")
            ip("-n", host, "route", "add", "default", "via", f"10.78.{number}.9")
            ip("-n", host, "-6", "route", "add", "default", "via", f"fd78:{number}::9")
        for option in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):  # sysctl may not be there
            ip("netns", "exec", router, "sh", "-c", f"echo 1 > /proc/sys/net/{option}")
        yield router
    finally:
        ip("netns", "delete", router)


def test_calls_go_on_over_an_interface_with_a_smaller_mtu(tmp_path: Path) -> None:
    with two_hosts() as (left, right), Fleet(tmp_path) as fleet:
        ip("-n", left, "address", "add", "10.77.0.1/24", "dev", "mrpc0")
        for netns in (left, right):
            ip("-n", netns, "link", "set", "mrpc0", "mtu", WIDE)
        client = fleet.engine("client", udp("10.77.0.1"), left)
        server = fleet.engine("server", udp("10.77.0.2"), right)
        address = fleet.serve("10.77.0.2:7000", server, right)
        for served, mtu in ((CALLS, WIDE), (2 * CALLS, NARROW)):
            for netns in (left, right):
                ip("-n", netns, "link", "set", "mrpc0", "mtu", mtu)
            result = fleet.load(CALLS, WINDOW, address, client, left)
            assert (result["wrong"], result["served"]) == (0, served)


@pytest.mark.parametrize(
    ("here", "there", "server"),
    [("10.78.1.1", "10.78.2.2", "10.78.2.2:7000"), ("fd78:1::1", "fd78:2::2", "[fd78:2::2]:7000")],
)
def test_calls_go_on_where_a_router_carries_less(
    tmp_path: Path, here: str, there: str, server: str
) -> None:
    with (
        two_hosts() as (left, right),
        router_between(left, right) as router,
        Fleet(tmp_path) as fleet,
    ):
        client = fleet.engine("client", udp(here), left)
        address = fleet.serve(server, fleet.engine("server", udp(there), right), right)
        assert fleet.load(CALLS, WINDOW, address, client, left)["wrong"] == 0
        for netns, device in ((router, "to2"), (right, "mrpc0")):
            ip("-n", netns, "link", "set", device, "mtu", NARROW)
        result = fleet.load(CALLS, WINDOW, address, client, left)
        assert (result["wrong"], result["served"]) == (0, 2 * CALLS)
