"""Engines in Python: opened, polled or run in a thread, commanded, closed."""

import re
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from tests.e2e.processes import stand_still
from tests.transport_engine.records import field, packed
from tests.transport_engine.sidecars import descriptors, no_thread
from transport_engine import (
    Channel,
    ConfigError,
    Endpoint,
    Engine,
    EngineConfig,
    EngineGoneError,
    Limits,
    NoEngineError,
    NoRoomError,
    PortInUseError,
    TransportError,
)
from transport_engine._native import ffi, lib
from transport_engine.channel import READABLE
from transport_engine.errors import error_of
from transport_engine.stats import FIELDS

LOOPBACK = EngineConfig(driver="loopback")
SECONDS_MAX = 5.0
LOADED_SECONDS_MAX = 60.0  # for what many turns of both threads take, beside others' work


@pytest.mark.parametrize("in_thread", [False, True], ids=["polled", "thread"])
def test_commands(in_thread: bool) -> None:
    with Engine(LOOPBACK) as engine:
        if in_thread:
            engine.start()
        index, channel = engine.attach()
        assert engine.listen(index, 7000) == 7000
        with pytest.raises(PortInUseError, match=r"port 7000 of 127\.0\.0\.1"):
            engine.listen(index, 7000)
        engine.unlisten(index, 7000)
        assert engine.listen(index, 0) >= 49152
        with pytest.raises(TransportError, match="no such channel or listener"):
            engine.unlisten(index, 7000)
        with pytest.raises(TransportError, match="no such channel or listener"):
            engine.listen(index + 1, 7000)
        with pytest.raises(ConfigError, match="no flow to"):
            engine.connect(index, Endpoint.parse("127.0.0.1:0"), token=1)
        assert engine.stats()["channels_open"] == 1
        engine.detach(index)
        assert engine.stats()["channels_open"] == 0
        with pytest.raises(EngineGoneError):
            channel.awake()
        channel.close()


def test_an_engine_that_answers_late_takes_commands_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport_engine.engine.LOOK_MILLISECONDS", 1)
    with Engine(LOOPBACK) as engine:
        held = engine.stats()["channels_open"], descriptors()
        engine._is_driven = True  # by nobody for now
        with pytest.raises(TransportError, match="no answer from the engine"):
            engine.attach()
        with pytest.raises(TransportError, match="the engine hangs"):
            engine.stats()
        engine._is_driven = False
        engine.poll()
        assert (engine.stats()["channels_open"], descriptors()) == held


def test_an_engine_that_gets_no_thread_is_polled_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine(LOOPBACK) as engine:
        with monkeypatch.context() as none:
            none.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(NoRoomError, match=r"no thread transport-engine: .*`ulimit -u`"):
                engine.start()
        assert engine.stats()["channels_open"] == 0
        engine.start()


STAND_STILL = """
import sys, threading, time
from transport_engine import Engine, EngineConfig, engine as module
module.LOOK_MILLISECONDS = 20  # one second in all
engine = Engine(EngineConfig(driver="loopback"))
engine._is_driven = True
look = engine._completed
def first_look():
    engine._completed = look
    print("asked", flush=True)
    return look()
engine._completed = first_look
def answer():
    sys.stdin.readline()
    time.sleep(0.2)
    engine.poll()
threading.Thread(target=answer).start()
print(engine.stats()["channels_open"])
"""


def test_time_in_which_a_process_stands_still_is_none_of_its_engines() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STAND_STILL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "asked\n"
        stand_still(process.pid)
        time.sleep(1.5)
        process.stdin.write("now\n")
        process.stdin.flush()
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=SECONDS_MAX)[0] == "0\n"
    finally:
        process.kill()
        process.wait()


def test_a_limit_on_the_sizes_of_files_is_one_on_channels() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Engine(LOOPBACK) as engine:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(NoEngineError, match=r"no channel .* `ulimit -n` or `-f`"):
                engine.attach()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        index, channel = engine.attach()
        engine.detach(index)
        channel.close()


@pytest.mark.netns
@pytest.mark.parametrize("mtu", [68, 1000, 1127])
def test_an_interface_with_packets_too_small_is_refused(mtu: int) -> None:
    program = "from transport_engine import Engine, EngineConfig; Engine(EngineConfig())"
    script = f"ip link set lo mtu {mtu} up && exec {sys.executable} -c '{program}'"
    argv = ["unshare", "--net", "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    refused = f"ConfigError: .*the interface carries packets of {mtu} bytes, and 1128 are needed"
    assert re.search(refused, done.stderr), done.stderr


def test_drain_refuses_what_is_new() -> None:
    with Engine(LOOPBACK) as engine:
        index, channel = engine.attach()
        engine.drain()
        with pytest.raises(EngineGoneError, match="shutting down"):
            engine.connect(index, Endpoint.parse("127.0.0.1:7000"), token=1)
        with pytest.raises(EngineGoneError, match="shutting down"):
            engine.attach()
        channel.close()


@pytest.mark.parametrize("ring_bytes", [5, 65536, 200_000, 1 << 40, 1 << 64, -1, "131072"])
def test_a_ring_that_cannot_be_is_a_sentence(ring_bytes: Any) -> None:
    said = rf"ring_bytes is {ring_bytes!r}; allowed is a power of two from 131072 to 1073741824$"
    with Engine(LOOPBACK) as engine:
        with pytest.raises(ConfigError, match=said):
            engine.attach(ring_bytes)
        with pytest.raises(ConfigError, match=said):
            engine.attach_descriptors(ring_bytes)
        engine.attach(131072)[1].close()


def test_full_table() -> None:
    with Engine(EngineConfig(driver="loopback", limits=Limits(channels_max=1))) as engine:
        index, channel = engine.attach()
        with pytest.raises(NoRoomError, match="raise its limits"):
            engine.attach()
        channel.close()
        engine.detach(index)
        engine.attach()[1].close()


def test_stop_ends_run_in_any_thread() -> None:
    with Engine(LOOPBACK) as engine:
        thread = threading.Thread(target=engine.run)
        thread.start()
        engine.stop()
        thread.join(SECONDS_MAX)
        assert not thread.is_alive()


def test_running_engine_sleeps_and_is_woken() -> None:
    """No wake-up means that the command times out; no sleep means that the counter stands still."""
    with Engine(EngineConfig(limits=Limits(spin_seconds=0))) as engine:
        engine.start()
        deadline = time.monotonic() + LOADED_SECONDS_MAX
        while engine.stats()["sleeps"] < 20:
            assert time.monotonic() < deadline
            time.sleep(0.001)  # one that is asked all the time need not sleep
        index, channel = engine.attach()
        assert channel.arm(READABLE) == 0
        engine.detach(index)
        channel.close()


def is_readable(engine: Engine) -> bool:
    waiting = select.poll()
    waiting.register(engine.fileno(), select.POLLIN)
    return waiting.poll(0) != []


def test_nothing_rings_for_a_command_that_was_carried_out() -> None:
    with Engine(LOOPBACK) as engine:
        index, channel = engine.attach()
        assert engine.listen(index, 7000) == 7000  # polled, and never asleep
        assert not is_readable(engine)
        channel.close()


def test_nobody_rings_for_an_engine_that_is_awake() -> None:
    with Engine(LOOPBACK) as engine:
        index, channel = engine.attach()
        engine.listen(index, 7000)
        assert engine.arm() > 0
        engine.poll()  # woken by something else
        channel.send(packed(b"one"))
        channel.ring()
        assert not is_readable(engine)
        channel.close()


def test_second_start_is_our_bug() -> None:
    with Engine(LOOPBACK) as engine:
        engine.start()
        with pytest.raises(RuntimeError, match="runs already"):
            engine.start()


def test_closed_engine_says_so() -> None:
    engine = Engine(LOOPBACK)
    engine.close()
    engine.close()
    for act in (engine.poll, engine.stats, engine.fileno, engine.stop, engine.start):
        with pytest.raises(RuntimeError, match="closed"):
            act()
    assert "closed" in repr(engine)


def test_udp_port_that_is_taken_is_a_sentence() -> None:
    with Engine(EngineConfig()) as engine:
        assert engine.wakes
        assert engine.local.port != 0
        with pytest.raises(PortInUseError, match=str(engine.local.port)):
            Engine(EngineConfig(port=engine.local.port))


def test_address_of_another_machine_is_a_sentence() -> None:
    config = EngineConfig.model_validate({"address": "192.0.2.1", "security": "none"})
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1.*choose an address of this machine"):
        Engine(config)


def test_stats_have_the_fields_of_c() -> None:
    with Engine(LOOPBACK) as engine:
        stats = engine.stats()
    assert tuple(stats) == FIELDS
    assert 8 * len(FIELDS) == ffi.sizeof("struct te_stats")
    assert stats["now_ns"] > 0


@pytest.mark.parametrize("code", range(-10, 0))
def test_every_error_has_a_class_and_a_name(code: int) -> None:
    error = error_of(code, "")
    assert isinstance(error, TransportError)
    assert str(error) not in ("", "ok", "unknown error")
    assert code in {getattr(lib, name) for name in dir(lib) if name.startswith("TE_E_")}


def test_message_that_is_not_finished_gives_its_memory_back() -> None:
    """Its sender lives, and stopped in the midst of it."""
    limits = Limits(unfinished_seconds=0.05, keep_alive_seconds=0.01)
    with Engine(EngineConfig(limits=limits)) as engine:
        there, server = engine.attach()
        here, client = engine.attach()
        free = engine.stats()["pool_blocks_free"]
        engine.connect(here, Endpoint(engine.local.address, engine.listen(there, 0)), token=1)
        (opened,) = awaited(engine, client)
        (accepted,) = awaited(engine, server)
        begun = {"flags": lib.TE_FIRST, "total_bytes": 200_000, "flow": field(opened, "flow")}
        assert client.send(packed(bytes(lib.TE_RECORD_PAYLOAD_MAX), **begun)) > 0
        for channel, head in ((client, opened), (server, accepted)):
            (closed,) = awaited(engine, channel)
            assert field(closed, "kind") == lib.TE_FLOW_CLOSED
            assert field(closed, "flow") == field(head, "flow")
            assert field(closed, "status") == lib.TE_R_STALLED
        stats = engine.stats()
        assert (stats["flows_open"], stats["flows_stalled"]) == (0, 1)
        assert stats["pool_blocks_free"] == free
        client.close()
        server.close()


def awaited(engine: Engine, channel: Channel) -> list[tuple[int, ...]]:
    """The heads of what comes next."""
    ends = time.monotonic() + SECONDS_MAX
    while time.monotonic() < ends:
        engine.poll()
        if arrived := channel.receive():
            return [head for head, _ in arrived]
    raise AssertionError("nothing came")
