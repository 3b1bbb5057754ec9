"""Inputs from which a fuzzer starts deep: one function for each target that needs them.

Written to the corpus before a run, so that what a target's bytes mean stands in the repository once
more as names, and no binary file does. A seed that a target no longer understands is only a worse
seed.
"""

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

MAC = bytes((2, 0, 0, 0, 0, 1))
PEER_MAC = bytes((2, 0, 0, 0, 0, 2))
IPV4, PEER_IPV4 = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
IPV6, PEER_IPV6 = b"\xfd" + bytes(14) + b"\x01", b"\xfd" + bytes(14) + b"\x02"


def write(target: str, corpus: Path) -> None:
    """Puts the target's seeds into its corpus."""
    for name, seed in SEEDS.get(target, dict)().items():
        (corpus / f"seed-{name}").write_bytes(seed)


def _ack() -> dict[str, bytes]:
    send, _, wait, ack, raw, receive, forget, fill = range(8)
    sent = bytes((0, send, 60))
    one = bytes((ack, 50, 0, 0, 0, 0, 0, 15))
    return {
        "all": sent + bytes((ack, 59, 0, 0, 0, 0, 255)),
        "gaps": sent + bytes((ack, 50, 0, 7)) + bytes(2) + bytes((1, 3, 1)) * 8,
        "lost-and-spurious": sent + one + bytes((ack, 40, 0, 0, 0, 0, 0, 15)),
        "late": b"\x04" + sent[1:] + one + bytes((wait, 18)) + one,
        "raw": sent + bytes((raw, 1, 1, 0)) + bytes(8) + struct.pack("<QI", 30, 10),
        "received": bytes((5, *(byte for i in range(0, 90, 2) for byte in (receive, i, 0)))),
        "told": bytes((0, receive, 1, 0, receive, 4, 0, fill, 31, forget, 2, 0, 4, 0, fill, 3)),
    }


def _flow() -> dict[str, bytes]:
    send, transmit, _, late, drop, double = range(6)
    damage, forge, wait, take, close, step = range(6, 12)
    server = 132  # a multiple of the number of operations with the top bit
    opened = bytes((step, step + server, step, step + server))
    pass_on = bytes((step, step + server, take, take + server))
    small, large = bytes((send, 0x11, 20)), bytes((send, 0x92, 0x00, 0x40))
    configurations = {"swift": b"\x00\x40\x00", "cubic": b"\x01\x40\x01", "tight": b"\x94\x09\x00"}
    seeds = {name: how + opened + (small + pass_on) * 4 for name, how in configurations.items()}
    how = configurations["swift"] + opened
    seeds["large"] = how + large * 3 + pass_on * 12
    seeds["loss"] = how + large + bytes((transmit, 31, drop, drop)) + pass_on + b"\x08\x15" * 3
    seeds["order"] = how + small * 6 + bytes((transmit, 31, late, 3, late, 2, double)) + pass_on
    seeds["close"] = how + large + bytes((close + 0x30,)) + pass_on * 8 + bytes((wait, 30))
    seeds["damage"] = how + large + bytes((transmit, 3, damage, 2, 5, 1, 9, 2)) + pass_on
    seeds["forge"] = how + bytes((forge, 2, 0, 2, 0, 1, 4, 1, 0, 0, 0, 1, 8, 0, 0, 3)) + pass_on
    seeds["dead"] = how + large + bytes((transmit, 9)) + bytes((wait, 24)) * 12 + b"\x08\x1e" * 2
    return seeds


def _handshake() -> dict[str, bytes]:
    connect, forward, damage, make, again, wait, _, raw, application = range(9)
    init = bytes((make, 0, 0, 3, 1, 0, 0, 255))  # of a stranger, for the port that listens
    between = bytes((connect, 0)) + bytes((forward,)) * 8
    return {
        "between": between + bytes((application,)) + bytes((forward,)) * 4,
        "closed": between + bytes((application + 126,)) + bytes((forward,)) * 6,
        "damaged": bytes((connect, 0, forward, damage, 1, 40, 7)) + bytes((forward,)) * 6,
        "retried": init + bytes((again, 1)) + bytes((wait, 22)) * 3,
        "stale": init + bytes((wait, 34, again, 1)),
        "other-version": bytes((make, 0x80, 9, 0, 3, 1, 0, 0, 255)),
        "returned": bytes((connect, 1, forward + 135, connect, 1, damage + 135, 1, 40, 7)),
        "refused": bytes((connect, 1, make, 0x40 + 5, 1, 0, 1, 1, 2, 3, 0, 2)),
        "silent": bytes((connect, 2)) + bytes((wait, 25)) * 6,
        "raw": bytes((raw, 0, 1, 1, 40, 0)) + bytes(40),
    }


def _packet() -> dict[str, bytes]:
    def message(number: int, offset: int, total: int, size: int) -> bytes:
        return struct.pack("<BBBBQIIHH", 3, 0, 0, 0, number, offset, total, size, 0) + bytes(size)

    ack = struct.pack("<BBHQQI", 2, 1, 0, 0, 100, 0)
    return {
        "frames": b"\x00" + ack + message(0, 0, 40, 40) + struct.pack("<BQ", 4, 99) + b"\x01\x00",
        "close": b"\x00" + ack + struct.pack("<BH", 5, 1),
        "pieces": b"\x01" + message(0, 0, 2000, 1384) + message(0, 1384, 2000, 616),
    }


def _pair() -> dict[str, bytes]:
    _, record, publish, near, _, back, _, take, header, rings, hangup = range(11)
    receive, peek, pop, put, bad, send, untaken, sleep, ring, note, starts, acked = range(11, 23)
    short, long, wrong = bytes((record, 2, 40)), bytes((record, 1)), bytes((record, 14, 9, 16, 1))
    shown = bytes((publish,))
    programs = {
        "records": short * 3
        + shown
        + bytes((receive,))
        + wrong
        + shown
        + bytes((receive, receive)),
        "long": (long + shown + bytes((peek, pop))) * 3,
        "changed": short + shown + bytes((peek, rings, 0, 0, 0, 0, 1, peek, pop, receive)),
        "positions": shown
        + bytes((near, 8, 0, peek, near, 1, 0, receive, back, 0, 128, put, 0, 1)),
        "sent": bytes((put, 0, 9, send, 0, 200, untaken, take, put, 1, 255, put, 1, 255)) * 2,
        "untaken": bytes((put, 0, 1, rings, 127, 0, 0, 4, *bytes(8), untaken, bad, 0, 1)),
        "sleep": bytes((sleep, 3, header, 128, 2, 0, 3, 0, ring, hangup, sleep, 1)),
        "starts": bytes((note, 1, 2, 1, *bytes(7), 9, 2, starts, 0, 1, 0, acked, 1, *bytes(9))),
    }
    return {
        f"{name}-{end}": bytes((end,)) + seed for name, seed in programs.items() for end in (0, 1)
    }


def _command() -> dict[str, bytes]:
    command, raw, request, close, receive, hang_up, wait = range(7)

    def told(op: int, how: int = 0) -> bytes:
        return bytes((command, how, op - 1))

    attach, detach, has_left, route, share = 1, 2, 11, 9, 8
    listen, unlisten, connect, stats, drain, flows = 3, 4, 5, 6, 7, 10
    port = 1 << 4  # of the channel 0; 1 more is the channel 1
    passed = bytes((wait, 20)) * 12
    opened = told(attach) * 2 + told(listen, port) + told(connect, port + 1) + passed
    talk = bytes((receive, receive + 7)) + bytes((request + 7, 90, wait, 20)) * 4
    return {
        "talk": opened + talk + told(stats) + told(flows) + bytes((close + 7,)) + passed,
        "left": opened + talk + bytes((hang_up,)) + told(has_left) + passed + told(detach),
        "share": told(attach) + told(share, 4) + bytes((9, 20, 7, 9, 1, 9, 2, 3)) + opened + talk,
        "drain": opened + told(drain) + told(connect, port) + passed + told(attach),
        "again": (opened + told(unlisten, port) + told(detach) + told(detach, 1)) * 3,
        "beyond": told(attach, 192) + bytes((0, 1)) + told(share, 192) + bytes((0, 1, *bytes(8))),
        "raw": bytes((raw, *struct.pack("<IIQ", route, 1, 2), *bytes(80))),
    }


def _udp() -> dict[str, bytes]:
    many = (
        bytes((0, 0, 31, 4))
        + (bytes((0x40,)) + bytes(28) + bytes((1, 5, 0xE8, 3, 0, 0, 0, 40))) * 3
    )
    stamped = bytes((0, 0, 9, 2, 1)) + bytes(28) + bytes((2, 0, *bytes(16), 3, 2, 0, 60))
    error = bytes((111, 0, 0, 0, 2, 3, 3, 0)) + bytes(8)
    one = bytes((1, 0)) + bytes(28) + bytes((1, 6)) + error + bytes((0, 40))
    return {
        "many": many + bytes((2, 3, 30)),
        "stamped": stamped * 2,
        "back": bytes((1, 0)) + one * 3 + bytes((0, 9)),
        "more-back": bytes((1, 0)) + one * 20 + bytes((0, 9)),
    }


def _ip() -> dict[str, bytes]:
    ipv6_host, checked, mend = 1, 2, 4 + 8 + 16
    arp, sealed, icmp = 32, 64, 128
    ethernet = MAC + PEER_MAC
    ipv4 = bytes((0x45, 0, 0, 48, 0, 0, 0, 0, 64, 17, 0, 0)) + PEER_IPV4 + IPV4
    ipv6 = bytes((0x60, 0, 0, 0, 0, 32, 58, 255)) + PEER_IPV6 + IPV6
    udp = struct.pack(">HHHH", 3, 3, 28, 0) + bytes(20)
    udp6 = bytes((0x60, 0, 0, 0, 0, 28, 17, 64)) + PEER_IPV6 + IPV6 + udp
    solicitation = bytes((135, 0, 0, 0, 0, 0, 0, 0)) + IPV6 + b"\x01\x01" + PEER_MAC
    question = bytes((0, 1, 8, 0, 6, 4, 0, 1)) + PEER_MAC + PEER_IPV4 + bytes(6) + IPV4
    return {
        "arp": bytes((mend + arp,)) + ethernet + b"\x08\x06" + question,
        "udp": bytes((mend + sealed + checked,)) + ethernet + b"\x08\x00" + ipv4 + udp,
        "echo": bytes((mend + icmp,)) + ethernet + b"\x08\x00" + ipv4 + b"\x08" + bytes(27),
        "udp6": bytes((mend + checked + ipv6_host,)) + ethernet + b"\x86\xdd" + udp6,
        "echo6": bytes((mend + icmp + ipv6_host,)) + ethernet + b"\x86\xdd" + ipv6
        + b"\x80" + bytes(31),
        "ndp": bytes((mend + icmp + ipv6_host,)) + ethernet + b"\x86\xdd" + ipv6 + solicitation,
        "ndp-answer": bytes((mend + icmp + ipv6_host,)) + ethernet + b"\x86\xdd" + ipv6
        + b"\x88" + solicitation[1:24] + b"\x02" + solicitation[25:],
    }  # fmt: skip


SEEDS: Mapping[str, Callable[[], dict[str, bytes]]] = {
    "fuzz_ack": _ack,
    "fuzz_command": _command,
    "fuzz_flow": _flow,
    "fuzz_handshake": _handshake,
    "fuzz_ip": _ip,
    "fuzz_packet": _packet,
    "fuzz_pair": _pair,
    "fuzz_udp": _udp,
}
