"""Configurations: every mistake gets a sentence with file, key, value and what is allowed."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from transport_engine import ConfigError, Engine, EngineConfig, Limits
from transport_engine._native import ffi, lib
from transport_engine.config import SidecarConfig, default_socket_path, load

RING_BYTES = f"{lib.TE_RING_BYTES_MIN} to {lib.TE_RING_BYTES_MAX}"

GOOD = """
[engine]
driver = "udp"
address = "10.0.0.2"
port = 4000
security = "none"
congestion = "fixed"
profile = "rack"
mtu_bytes = 9000
gateway = "10.0.0.1"
prefix_bits = 24

[engine.limits]
flows_max = 77
keep_alive_seconds = 0.5

[engine.faults]
loss = 0.05
reorder_seconds = 0.002

[control]
socket = "/run/x/engine.sock"
allow_uids = [1000, 1001]
"""


def loaded(folder: Path, text: str) -> SidecarConfig:
    path = folder / "engine.toml"
    path.write_text(text)
    return load(path)


def test_good_file(tmp_path: Path) -> None:
    config = loaded(tmp_path, GOOD)
    assert config.control.allow_uids == (1000, 1001)
    c, strings = config.engine.into_c()
    assert strings
    assert ffi.string(c.driver) == b"udp"
    assert ffi.string(c.congestion) == b"fixed"
    assert bytes(c.local.address)[-4:] == b"\x0a\x00\x00\x02"
    assert bytes(c.gateway)[-4:] == b"\x0a\x00\x00\x01"
    assert (c.local.port, c.mtu_bytes, c.prefix_bits, c.profile) == (4000, 9000, 24, 0)
    assert (c.flows_max, c.keep_alive_ns) == (77, 500_000_000)
    assert (c.fault.loss_ppm, c.fault.reorder_ns) == (50_000, 2_000_000)


def test_what_is_not_said_is_the_engines_default(tmp_path: Path) -> None:
    config, _ = EngineConfig().into_c()
    default = ffi.new("struct te_engine_config *")
    lib.te_engine_config_init(default)
    for name, _ in ffi.typeof("struct te_engine_config").fields:
        if name not in ("driver", "netif", "congestion", "local", "gateway", "fault"):
            assert getattr(config, name) == getattr(default, name), name
    assert loaded(tmp_path, "").engine.port == lib.TE_PORT_DEFAULT
    assert loaded(tmp_path, "[engine]").engine.port == lib.TE_PORT_DEFAULT


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[engine]\nport = 70000",
            "engine.port is 70000; allowed is a whole number from 0 to 65535",
        ),
        ("[engine]\nport = -1", "engine.port is -1; allowed is a whole number from 0 to 65535"),
        ('[engine]\nport = "http"', 'engine.port is "http"; allowed is a whole number'),
        ("[engine]\nprot = 7", "engine.prot is not a key; did you mean port?"),
        ("[engien]\nport = 7", "engien is not a key; did you mean engine?"),
        ("[engine]\nzzz = 7", "engine.zzz is not a key; there are driver, netif, address"),
        ("engine = 5", "engine is 5; allowed is a table"),
        (
            '[engine]\ndriver = "e1000"',
            'engine.driver is "e1000"; allowed is "udp" or "dpdk" or "loopback"',
        ),
        (
            '[engine]\naddress = "10.0.0"',
            'engine.address is "10.0.0"; allowed is an IPv4 address or an IPv6 address',
        ),
        ('[engine]\nsecurity = "some"', 'engine.security is "some"; allowed is "none"'),
        (
            '[engine]\ncongestion = "bbr"',
            'engine.congestion is "bbr"; allowed is "swift" or ',
        ),
        (
            "[engine]\nmtu_bytes = 100",
            "engine.mtu_bytes is 100; allowed is a whole number from 1280",
        ),
        (
            "[engine.limits]\nflows_max = 0",
            f"engine.limits.flows_max is 0; allowed is a whole number from 1 to {lib.TE_FLOWS_MAX}",
        ),
        (
            "[engine.limits]\ndead_seconds = 0.0",
            "engine.limits.dead_seconds is 0.0; allowed is a number from 0.001 to 3600",
        ),
        ("[engine.limits]\nflow_max = 1", "engine.limits.flow_max is not a key; did you mean"),
        (
            "[engine.faults]\nloss = 1.5",
            "engine.faults.loss is 1.5; allowed is a number from 0 to 1",
        ),
        (
            '[control]\nallow_uids = ["root"]',
            'control.allow_uids[0] is "root"; allowed is a whole number from 0 to',
        ),
        ("[control]\nallow_uids = 5", "control.allow_uids is 5; allowed is a list, each a whole"),
        ("[control]\nsocket = 5", "control.socket is 5; allowed is a path"),
        (
            f"[control]\nring_bytes_max = {1 << 40}",
            f"control.ring_bytes_max is {1 << 40}; allowed is a whole number from {RING_BYTES}",
        ),
    ],
)
def test_mistakes(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'engine.toml'}: {sentence}")
    assert "\n" not in str(caught.value)


def test_each_mistake_gets_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "[engine]\nport = -1\nmtu_bytes = 0\n[control]\nx = 1")
    assert len(str(caught.value).splitlines()) == 3


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read: No such file"):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize("data", [b"[engine", b"a = ", b"\xff\xfe"])
def test_file_that_is_not_toml(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(data)
    with pytest.raises(ConfigError, match=r"bad\.toml is not TOML: "):
        load(tmp_path / "bad.toml")


@pytest.mark.parametrize("address", ["10.0.0.2", "0.0.0.0", "::", "2001:db8::1", "192.168.1.1"])
def test_address_that_others_reach_needs_the_word(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match='not encrypted yet: write security = "none"') as caught:
        loaded(tmp_path, f'[engine]\naddress = "{address}"')
    assert str(caught.value).startswith(f"{tmp_path / 'engine.toml'}: engine.address is {address}")
    config = loaded(tmp_path, f'[engine]\naddress = "{address}"\nsecurity = "none"')
    assert str(config.engine.address) == address
    with pytest.raises(ValidationError):
        EngineConfig.model_validate({"address": address})


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.8.7", "::1"])
def test_loopback_needs_no_word(tmp_path: Path, address: str) -> None:
    assert loaded(tmp_path, f'[engine]\naddress = "{address}"').engine.security is None


def bounds() -> list[tuple[str, int | float, int | float]]:
    """Every bounded limit with its ends."""
    schema = Limits.model_json_schema()["properties"]
    found: list[tuple[str, int | float, int | float]] = []
    for name, field in schema.items():
        member = field["anyOf"][0]
        found.append((name, member["minimum"], member["maximum"]))
    return found


@pytest.mark.parametrize(("name", "low", "high"), bounds())
def test_the_engine_agrees_with_the_bounds(name: str, low: float, high: float) -> None:
    """C has the last word: it names the key if it would refuse what the models let through."""
    roomy = {"pool_bytes", "channels_max", "flows_max", "credit_bytes"}  # not to take it all here
    values = [low] if name in roomy else [low, high]
    for value in values:
        extra = {"message_bytes_max": 1024} if name == "credit_bytes" else {}
        limits = Limits.model_validate({name: value} | extra)
        with Engine(EngineConfig(driver="loopback", limits=limits)):
            pass


def test_socket_path_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRPC_SOCKET", "/somewhere/e.sock")
    assert default_socket_path() == Path("/somewhere/e.sock")
    monkeypatch.delenv("MRPC_SOCKET")
    assert default_socket_path().name == "engine.sock"
