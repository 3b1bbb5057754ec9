"""DPDK netifs between real processes: virtual pairs, and a veth to the kernel's own UDP."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.transport_engine.netif.processes import (
    Side,
    build_lacks,
    echoing,
    joined_namespaces,
    ping,
    refused,
    sockets_in,
)
from transport_engine.hugepages import hugepages

COUNT = 5000
PAGES_MB = 384  # for two processes
UNCUT = "no-segments"  # veth would bring a run as one packet to who reads raw ones
RIGHT = {"ipv4": "10.99.1.2", "ipv6": "fd99::2"}
LEFT = {"ipv4": "10.99.1.1", "ipv6": "fd99::1"}
PREFIX_BITS = {"ipv4": 24, "ipv6": 64}

pytestmark = pytest.mark.dpdk


@pytest.fixture(scope="module", autouse=True)
def pages() -> Iterator[None]:
    missing = build_lacks()
    if missing is not None:
        pytest.skip(missing)
    with hugepages(PAGES_MB):
        yield


def virtio(folder: Path) -> tuple[Side, Side]:
    path = folder / "vhost.sock"
    return (
        Side("dpdk", f"--vdev=net_vhost0,iface={path}", "10.99.0.1"),
        Side("dpdk", f"--vdev=net_virtio_user0,path={path}", "10.99.0.2"),
    )


def memif(folder: Path) -> tuple[Side, Side]:
    options = f"socket={folder}/memif.sock,socket-abstract=no"
    return (
        Side("dpdk", f"--vdev=net_memif0,role=server,{options}", "10.99.0.1"),
        Side("dpdk", f"--vdev=net_memif0,role=client,{options}", "10.99.0.2"),
    )


@pytest.mark.parametrize(
    ("pair", "wanted_bytes", "mtu_bytes"),
    [(virtio, 1500, 1500), (virtio, 9000, 9000), (memif, 1500, 1500), (memif, 9000, 1500)],
    ids=["virtio", "virtio-jumbo", "memif", "memif-cannot-jumbo"],
)
def test_two_processes_without_a_card(
    tmp_path: Path, pair: Callable[[Path], tuple[Side, Side]], wanted_bytes: int, mtu_bytes: int
) -> None:
    server, client = (replace(side, mtu_bytes=wanted_bytes) for side in pair(tmp_path))
    with echoing(server) as served:
        report = ping(client, server, COUNT, mtu_bytes - 28)
        assert report["mtu"] == mtu_bytes
        assert report["bad"] == 0
    assert served["bad"] == 0
    assert sockets_in(tmp_path) == []


def test_client_that_comes_again_is_served_again(tmp_path: Path) -> None:
    server, client = virtio(tmp_path)
    with echoing(server):
        for _ in range(2):
            ping(client, server, COUNT)


def test_virtio_user_wakes_its_engine(tmp_path: Path) -> None:
    server, client = virtio(tmp_path)
    nobody = replace(server, address="10.99.0.77")
    with echoing(server), pytest.raises(AssertionError, match="wakes=1") as ended:
        ping(client, nobody, 1, seconds=3)
    assert "verified=0" in str(ended.value)


@pytest.mark.netns
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("driver", ["net_af_packet", "net_af_xdp"])
def test_veth_to_the_kernels_udp(driver: str, family: str) -> None:
    with joined_namespaces(f"te{os.getpid()}") as (left, right):
        server = Side(
            "dpdk",
            f"--vdev={driver}0,iface=left",
            LEFT[family],
            prefix_bits=PREFIX_BITS[family],
            namespace=left,
        )
        client = Side("udp", UNCUT, RIGHT[family], namespace=right)
        with echoing(server) as served:
            ping(client, server, COUNT)
        # The kernel leaves checksums to a card that veth is not.
        assert served["bad"] == 0


@pytest.mark.netns
def test_without_hugepages_over_veth() -> None:
    with joined_namespaces(f"te{os.getpid()}") as (left, right):
        arguments = "--no-huge -m 128 --vdev=net_af_packet0,iface=left"
        server = Side("dpdk", arguments, LEFT["ipv4"], namespace=left)
        with echoing(server):
            ping(Side("udp", UNCUT, RIGHT["ipv4"], namespace=right), server, COUNT)


def test_processes_without_hugepages_do_not_run_into_each_other() -> None:
    first = Side("dpdk", "--no-huge -m 64 --vdev=net_null0", "10.99.0.1")
    second = replace(first, address="10.99.0.2")
    with echoing(first), echoing(second):
        pass  # both opened, and end by themselves


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--no-huge -m 64 --no-pci", "DPDK found no port"),
        ("--no-huge -m 64 --vdev=net_nonsense0", "net_nonsense0"),
        ("--no-huge -m 64 --vdev=net_af_packet0,iface=nowhere", "DPDK"),
        ("-m 1000000 --vdev=net_null0", "hugepages, which `mrpc doctor` names"),
        ("--no-huge -m 8 --vdev=net_null0", "or a larger -m"),
        ("--vdev='net_null0", "quote"),
    ],
)
def test_refusals_are_sentences(arguments: str, words: str) -> None:
    assert words in refused(Side("dpdk", arguments, "10.99.0.1"))


def test_an_argument_that_dpdk_does_not_know_is_refused_in_a_sentence() -> None:
    argv = ["pkg-config", "--atleast-version=25.11", "libdpdk"]
    ends_itself = subprocess.run(argv, check=False).returncode == 0
    side = Side("dpdk", "--no-huge -m 64 --nonsense", "10.99.0.1")
    text = refused(side, status=256 - errno.EINVAL if ends_itself else 3)
    assert text.count("DPDK did not start") == 1
    assert "nonsense" in text
