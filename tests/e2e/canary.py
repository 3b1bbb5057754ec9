"""Tenant A's messages carry a mark; nothing that tenant B, the log or the figures hold may have it.

`python -m tests.e2e.canary --megabytes 1024` prints the figures. B is a process of its own, whose
whole memory is searched from outside; on the loopback interface, what comes and goes at B's ports.
"""

import argparse
import asyncio
import ctypes
import json
import secrets
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from tests.transport_engine.records import field, packed
from transport_engine import Endpoint, SidecarAttachment, attach
from transport_engine._native import lib

MARK_BYTES: Final = 16
PORT_OF_A: Final = 7400
PORT_OF_B: Final = 7500
PAYLOAD_BYTES: Final = 60_000
RECORDS_AHEAD: Final = 32
READY_SECONDS_MAX: Final = 30.0
CHUNK_BYTES: Final = 1 << 20
ROOT: Final = Path(__file__).resolve().parents[2]
_ETH_P_IP: Final = 0x0800
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h


@dataclass(frozen=True, slots=True)
class Figures:
    """Where the mark was found, and how much was looked through."""

    bytes_marked: int
    messages_of_b: int
    bytes_of_b_searched: int
    datagrams_of_b: int  # -1: the wire cannot be seen without privilege
    found_in_a: int  # the search finds what is there
    found_on_wire_of_a: int
    found_in_b: int
    found_on_wire: int
    found_in_log: int
    found_in_figures: int
    seconds: float

    @property
    def leaks(self) -> int:
        """Finds where there may be none."""
        return self.found_in_b + self.found_on_wire + self.found_in_log + self.found_in_figures


def run(megabytes: int) -> Figures:
    """Sends so much marked payload beside B's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "log"
        path = folder / "run/engine.sock"
        engines = [_engine(folder, each) for each in (path, others(path))]
        neighbour = [sys.executable, "-m", "tests.e2e.canary", "--neighbour", str(path)]
        with (
            log.open("wb") as file,
            started(engines[0], file),
            started(engines[1], file),
            started(neighbour, file) as b,
        ):
            figures = asyncio.run(_send_and_search(path, b.pid, log, megabytes << 20))
            assert b.poll() is None, "B ended"
        return figures


def others(path: Path) -> Path:
    """The socket of the engine beside, to which all flows go: else none would cross a wire."""
    return path.with_name("other.sock")


def _engine(folder: Path, path: Path) -> list[str]:
    config = folder / f"{path.stem}.toml"
    config.write_text(
        f'[engine]\nport = 0\n[control]\nsocket = "{path}"\n'
        f"[engine.limits]\npool_bytes = {16 << 20}\nmessage_bytes_max = {1 << 20}\n"
        f"credit_bytes = {2 << 20}\n"
    )
    return [sys.executable, "-m", "transport_engine", "--verbose", "--config", str(config)]


@contextmanager
def started(argv: list[str], errors: IO[bytes]) -> Generator[subprocess.Popen[bytes]]:
    """A process, once its first line says that it is ready, until the end of the block."""
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert said.startswith(b"ready"), f"not ready: {said!r}"
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(READY_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


# -- A --


async def _send_and_search(path: Path, pid_of_b: int, log: Path, count_bytes: int) -> Figures:
    begun = time.monotonic()
    mark = secrets.token_bytes(MARK_BYTES)
    wire, wire_of_a = Wire(PORT_OF_B), Wire(PORT_OF_A)
    server, client = await attach(others(path)), await attach(path)
    flow, _ = await connected(client, server, PORT_OF_A)
    message = packed(mark * (PAYLOAD_BYTES // MARK_BYTES), flow=flow)
    sent = received = 0
    while received < count_bytes:
        if sent - received < RECORDS_AHEAD * PAYLOAD_BYTES and client.channel.send(message):
            sent += PAYLOAD_BYTES
            client.channel.ring()
        received += sum(len(payload) for _, payload in server.channel.receive())
        server.channel.ring()
        wire.look(mark)
    figures = await server.stats()
    in_b, searched = found_in_memory(pid_of_b, mark)
    said = await asyncio.to_thread(log.read_bytes)
    wire_of_a.look(mark)
    result = Figures(
        bytes_marked=received,
        messages_of_b=figures["messages_received"] - received // PAYLOAD_BYTES,
        bytes_of_b_searched=searched,
        datagrams_of_b=wire.datagrams,
        found_in_a=found_in_memory("self", mark)[0],
        found_on_wire_of_a=wire_of_a.found,
        found_in_b=in_b,
        found_on_wire=wire.found,
        found_in_log=said.count(mark) + said.count(mark.hex().encode()),
        found_in_figures=json.dumps(figures).encode().count(mark.hex().encode()),
        seconds=round(time.monotonic() - begun, 1),
    )
    wire.close()
    wire_of_a.close()
    await client.close()
    await server.close()
    return result


async def connected(
    client: SidecarAttachment, server: SidecarAttachment, port: int
) -> tuple[int, int]:
    """A flow from one to the other; returns what each calls it."""
    await server.listen(port)
    await client.connect(Endpoint(server.local.address, port), token=1)
    flows: list[int] = []
    for end in (client, server):
        heads = [head for head, _ in end.channel.receive()]
        while not heads:
            await asyncio.sleep(0.001)
            heads = [head for head, _ in end.channel.receive()]
        assert field(heads[0], "kind") in (lib.TE_FLOW_OPENED, lib.TE_FLOW_ACCEPTED)
        flows.append(field(heads[0], "flow"))
    return flows[0], flows[1]


def found_in_memory(pid: int | str, mark: bytes) -> tuple[int, int]:
    """How often a process's memory has the mark, and how many bytes were searched."""
    found = searched = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in mappings(pid):
            rest = b""
            for place in range(start, end, CHUNK_BYTES):
                memory.seek(place)
                try:
                    data = memory.read(min(CHUNK_BYTES, end - place))
                except OSError:  # the kernel's own pages
                    break
                found += (rest + data).count(mark)
                searched += len(data)
                rest = data[-MARK_BYTES + 1 :]
    return found, searched


def mappings(pid: int | str) -> Iterator[tuple[int, int]]:
    """Of a process, those that it can read."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, rights = line.split()[:2]
        start, _, end = place.partition("-")
        if rights.startswith("r"):
            yield int(start, 16), int(end, 16)


def filter_of(port: int) -> tuple[tuple[int, int, int, int], ...]:
    """Over Ethernet, IPv4 without options, UDP, and the port at either end (bpf, in C's macros)."""
    return (
        (0x30, 0, 0, 23),  # protocol
        (0x15, 0, 5, socket.IPPROTO_UDP),
        (0x28, 0, 0, 34),  # source
        (0x15, 2, 0, port),
        (0x28, 0, 0, 36),  # destination
        (0x15, 0, 1, port),
        (0x06, 0, 0, 0xFFFFFFFF),
        (0x06, 0, 0, 0),
    )


class Wire:
    """What comes and goes at a port on the loopback interface, where it can be seen."""

    def __init__(self, port: int) -> None:
        self.datagrams = self.found = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP))
        except PermissionError:
            self.datagrams = -1
            return
        instructions = [struct.pack("HBBI", *one) for one in filter_of(port)]
        code = ctypes.create_string_buffer(b"".join(instructions))
        program = struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._socket.bind(("lo", _ETH_P_IP))
        self._socket.setblocking(False)

    def look(self, mark: bytes) -> None:
        """Takes what came since."""
        while self.datagrams >= 0:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return
            self.datagrams += 1
            self.found += data.count(mark)

    def close(self) -> None:
        """Looks no more."""
        if self.datagrams >= 0:
            self._socket.close()


# -- B --


async def neighbour(path: Path) -> None:
    """Sends to itself for ever, with contents of its own."""
    server, client = await attach(others(path)), await attach(path)
    there, back = await connected(client, server, PORT_OF_B)
    print("ready", flush=True)
    question = packed(b"question" * 512, flow=there)
    answer = packed(b"answer.." * 512, flow=back)
    client.channel.send(question)
    client.channel.ring()
    while True:
        for end, reply in ((server, answer), (client, question)):
            for _ in end.channel.receive():
                end.channel.send(reply)
            end.channel.ring()
        await asyncio.sleep(0)


def main() -> int:
    """Prints the figures in JSON; 1 if the mark was found where it may not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=32)
    parser.add_argument("--neighbour", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.neighbour is not None:
        asyncio.run(neighbour(arguments.neighbour))
        return 0
    figures = run(arguments.megabytes)
    print(json.dumps(asdict(figures)))
    return int(figures.leaks > 0 or figures.found_in_a == 0)


if __name__ == "__main__":
    sys.exit(main())
