"""Engines in Python: opened, polled or run in a thread, commanded, closed."""

import threading
import time

import pytest

from transport_engine import (
    ConfigError,
    Endpoint,
    Engine,
    EngineConfig,
    EngineGoneError,
    Limits,
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


def test_drain_refuses_what_is_new() -> None:
    with Engine(LOOPBACK) as engine:
        index, channel = engine.attach()
        engine.drain()
        with pytest.raises(EngineGoneError, match="shutting down"):
            engine.connect(index, Endpoint.parse("127.0.0.1:7000"), token=1)
        with pytest.raises(EngineGoneError, match="shutting down"):
            engine.attach()
        channel.close()


def test_full_table_and_bad_ring() -> None:
    with Engine(EngineConfig(driver="loopback", limits=Limits(channels_max=1))) as engine:
        with pytest.raises(ConfigError, match="no channel of 5 bytes"):
            engine.attach(5)
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
        deadline = time.monotonic() + SECONDS_MAX
        while engine.stats()["sleeps"] < 20:
            assert time.monotonic() < deadline
        index, channel = engine.attach()
        assert channel.arm(READABLE) == 0
        engine.detach(index)
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
