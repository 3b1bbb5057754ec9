"""A way that loses long packets without a word, as some tunnels do, and calls that take it."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.processes import Fleet, two_hosts
from tests.e2e.test_narrower import CALLS, WINDOW, router_between, udp
from transport_engine import read_flows, read_stats

CARRIED = 1400  # bytes of IP, of which the engines' links carry more
OUT, BACK = "to2", "to1"  # the router's ports

pytestmark = pytest.mark.netns


def lose_long_packets(router: str, ports: tuple[str, ...]) -> None:
    """The router loses what is to leave it there and is longer than `CARRIED`."""
    rules = " ".join(f"oifname {port} meta length > {CARRIED} drop;" for port in ports)
    chain = f"chain forward {{ type filter hook forward priority 0; {rules} }}"
    words = ["ip", "netns", "exec", router, "nft", f"table inet tunnel {{\n{chain}\n}}\n"]
    subprocess.run(words, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
@pytest.mark.parametrize(
    ("here", "server", "ports", "netif"),
    [
        ("10.78.1.1", "10.78.2.2", (OUT, BACK), "no-segments"),
        ("10.78.1.1", "10.78.2.2", (BACK,), "no-segments"),
        ("fd78:1::1", "fd78:2::2", (OUT,), ""),
    ],
)
def test_calls_take_packets_that_the_way_carries(
    tmp_path: Path, here: str, server: str, ports: tuple[str, ...], netif: str
) -> None:
    with (
        two_hosts() as (left, right),
        router_between(left, right) as router,
        Fleet(tmp_path) as fleet,
    ):
        lose_long_packets(router, ports)
        lines = f'\nnetif = "{netif}"'
        client = fleet.engine("client", udp(here) + lines, left)
        listener = fleet.engine("server", udp(server) + lines, right)
        bracketed = f"[{server}]:7000" if ":" in server else f"{server}:7000"
        address = fleet.serve(bracketed, listener, right)
        running = fleet.start_load(CALLS, WINDOW, address, client, left)
        assert f"{address} packets of more than 1280 bytes are lost" in running.text()
        result = running.line()
        assert (result["wrong"], result["served"]) == (0, CALLS)
        assert asyncio.run(read_stats(client))["flows_narrowed"] == 1
        for flow in asyncio.run(read_flows(client)):
            assert flow.packet_bytes == 1280 - 48
