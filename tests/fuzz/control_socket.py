"""Mutated requests with descriptors against a real engine's control socket, while others attach.

`python -m tests.fuzz.control_socket --messages 1000000` prints the figures. As root the attackers
are users of their own, as a policy would have them, and its rates hold; else they are our user.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from tests.fuzz.requests import mutated
from transport_engine import messages
from transport_engine._native import lib

ROGUE_UIDS: Final = (64101, 64102, 64103, 64104)
CONNECTIONS: Final = 8
DESCRIPTORS_MAX: Final = 64
ANSWER_SECONDS_MAX: Final = 10.0
PROBE_PAUSE_SECONDS: Final = 0.005
SILENT_MAX: Final = 16
ROGUE_NICE: Final = 10
CALM_PROBES: Final = 300
P99_MS_MAX: Final = 10.0
READY_SECONDS_MAX: Final = 30.0
ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run came to."""

    messages: int  # that the engine read and answered
    refused_connections: int
    attaches: int  # of the client that behaves
    attach_p99_ms: float
    attach_p99_ms_before: float  # without attackers
    attach_max_ms: float
    descriptors_before: int
    descriptors_after: int
    seconds: float
    status: int  # of the engine, which was asked to stop

    @property
    def is_good(self) -> bool:
        """Nothing that has to hold whatever the machine's speed was broken."""
        return self.status == 0 and self.descriptors_before == self.descriptors_after


def run(count: int, seed: int, *, passes_descriptors: bool) -> Figures:
    """Attacks an engine with `count` messages. Errors: AssertionError, the engine died or hangs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with engine(folder, passes_descriptors=passes_descriptors) as process:
            path = folder / "run/engine.sock"
            started = time.monotonic()
            before = descriptors(process.pid)
            calm = sorted(probe(path) for _ in range(CALM_PROBES))
            reached, refused, latencies = attack(path, count, seed)
            assert process.poll() is None, f"the engine ended with {process.returncode}"
            after = settled(process.pid, before)
            attach(path)
            process.send_signal(signal.SIGTERM)
            status = process.wait(READY_SECONDS_MAX)
    latencies.sort()
    return Figures(
        messages=reached,
        refused_connections=refused,
        attaches=len(latencies),
        attach_p99_ms=p99_ms(latencies),
        attach_p99_ms_before=p99_ms(calm),
        attach_max_ms=round(latencies[-1] * 1e3, 3),
        descriptors_before=before,
        descriptors_after=after,
        seconds=round(time.monotonic() - started, 1),
        status=status,
    )


def p99_ms(seconds: list[float]) -> float:
    """Of sorted times."""
    return round(seconds[len(seconds) * 99 // 100] * 1e3, 3)


# -- the engine --


@contextlib.contextmanager
def engine(folder: Path, *, passes_descriptors: bool) -> Generator[subprocess.Popen[str]]:
    """A sidecar with tenants for the attackers, until the end of the block."""
    uids = ", ".join(map(str, ROGUE_UIDS))
    config = folder / "engine.toml"
    # Only root's attackers have users whose rates do not hold for who behaves.
    rate = 40_000 if os.geteuid() == 0 else 1_000_000  # what is no request costs 20
    group = f"group = {ROGUE_UIDS[0]}\n" if os.geteuid() == 0 else ""
    config.write_text(
        f'[engine]\nport = 0\n[control]\nsocket = "{folder}/run/engine.sock"\n{group}'
        f"messages_per_second_max = {rate}\n"
        f'[[tenants]]\nname = "rogue"\nuids = [{uids}]\nlisten = ["40000-40999"]\n'
        'reach = [{ network = "127.0.0.0/8", ports = ["40000-40999"] }]\n'
        "quotas = { channels = 16, flows = 100 }\n"
    )
    # As on kernels before 6.16, where descriptors arrive: no kernel has that option.
    refusal = "" if not passes_descriptors else "control.SO_PASSRIGHTS = -1; "
    launch = (
        "import sys; from transport_engine import control; "
        f"{refusal}from transport_engine.__main__ import main; "
        "sys.exit(main(['--config', sys.argv[1]]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", launch, str(config)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready"), "the engine did not start"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def settled(pid: int, wanted: int) -> int:
    """The same, once connections that were closed are seen to be; bounded."""
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while descriptors(pid) != wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    return descriptors(pid)


# -- who behaves --


def attach(path: Path) -> float:
    """Connects, attaches and leaves; returns the seconds that it took."""
    started = time.monotonic()
    with opened(path) as connection:
        ring_bytes = lib.TE_RING_BYTES_MIN
        connection.send(messages.pack_request(messages.Attach(id=1, ring_bytes=ring_bytes)))
        data, passed, _, _ = socket.recv_fds(connection, messages.MESSAGE_BYTES_MAX, 2)
        took = time.monotonic() - started
        for descriptor in passed:
            os.close(descriptor)
        assert len(passed) == 2, f"no channel: {data!r}"
    return took


def probe(path: Path) -> float:
    """The same, and a rest."""
    time.sleep(PROBE_PAUSE_SECONDS)
    return attach(path)


def opened(path: Path) -> socket.socket:
    """A connection to the engine whose reads are bounded."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(ANSWER_SECONDS_MAX)
    connection.connect(str(path))
    return connection


# -- who does not --


def attack(path: Path, count: int, seed: int) -> tuple[int, int, list[float]]:
    """Has attackers send `count` messages; returns answers, refusals, and times to attach."""
    fork = multiprocessing.get_context("fork")
    rogues: list[tuple[BaseProcess, int]] = []
    for index, uid in enumerate(ROGUE_UIDS):
        here, there = os.pipe()
        share = count * (index + 1) // len(ROGUE_UIDS) - count * index // len(ROGUE_UIDS)
        rogue = Rogue(path, random.Random(f"{seed} {index}"))
        child: BaseProcess = fork.Process(target=rogue.run, args=(uid, share, there), daemon=True)
        child.start()
        os.close(there)
        rogues.append((child, here))
    latencies: list[float] = []
    while any(child.is_alive() for child, _ in rogues):
        latencies.append(probe(path))
    reached = refused = 0
    for child, here in rogues:
        child.join()
        assert child.exitcode == 0, f"an attacker ended with {child.exitcode}"
        answers, refusals = json.loads(os.read(here, 4096))
        os.close(here)
        reached += answers
        refused += refusals
    return reached, refused, latencies


class Rogue:
    """One user's connections and what comes out of them."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._path = path
        self._rng = rng
        self._connections: list[socket.socket | None] = [None] * CONNECTIONS
        self._silent: list[socket.socket] = []
        self._things: list[int] = []
        self._answers = 0
        self._refused = 0

    def run(self, uid: int, count: int, results: int) -> None:
        """Sends until `count` messages were answered, as another user if that can be had."""
        if os.geteuid() == 0:
            os.setgroups([ROGUE_UIDS[0]])
            os.setgid(uid)
            os.setuid(uid)
        os.nice(ROGUE_NICE)  # the control plane is attacked here, not the processor
        self._things = [os.open("/dev/null", os.O_RDWR), os.memfd_create("rogue"), *os.pipe()]
        while self._answers < count:
            for place in range(CONNECTIONS):
                self._provoke(place)
            for place in range(CONNECTIONS):
                self._collect(place)
        os.write(results, json.dumps((self._answers, self._refused)).encode())

    def _provoke(self, place: int) -> None:
        """Sends one message, or leaves, or opens a connection that says nothing."""
        dice = self._rng.random()
        connection = self._connections[place]
        if connection is None:
            connection = self._connections[place] = opened(self._path)
        if dice < 0.01:
            self._leave_silent()
        data = mutated(self._rng)
        passed = [self._rng.choice(self._things) for _ in range(self._descriptors())]
        try:
            try:
                socket.send_fds(connection, [data], passed)
            except PermissionError:  # the engine's kernel lets none pass
                connection.send(data)
        except OSError:
            self._drop(place)
            return
        if dice > 0.97:  # gone before the answer
            self._drop(place)

    def _descriptors(self) -> int:
        return self._rng.randint(0, DESCRIPTORS_MAX) if self._rng.random() < 0.5 else 0

    def _leave_silent(self) -> None:
        self._silent.append(opened(self._path))
        if len(self._silent) > SILENT_MAX:
            self._silent.pop(0).close()

    def _collect(self, place: int) -> None:
        connection = self._connections[place]
        if connection is None:
            return
        try:
            data, passed, _, _ = socket.recv_fds(connection, messages.MESSAGE_BYTES_MAX, 4)
        except ConnectionResetError:
            data, passed = b"", []
        for descriptor in passed:
            os.close(descriptor)
        if not data:
            self._drop(place)
            return
        self._answers += 1
        if messages.unpack(data)["id"] == 0:
            self._refused += 1
            self._drop(place)

    def _drop(self, place: int) -> None:
        connection, self._connections[place] = self._connections[place], None
        if connection is not None:
            connection.close()


def main() -> int:
    """Prints the figures in JSON; 1 if one of them is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--refuse-descriptors", action="store_true", help="as Linux 6.16 can")
    arguments = parser.parse_args()
    figures = run(
        arguments.messages, arguments.seed, passes_descriptors=not arguments.refuse_descriptors
    )
    print(json.dumps({name: getattr(figures, name) for name in Figures.__slots__}))
    return int(not figures.is_good or figures.attach_p99_ms > P99_MS_MAX)


if __name__ == "__main__":
    sys.exit(main())
