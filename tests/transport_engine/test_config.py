"""Configurations: every mistake gets a sentence with file, key, value and what is allowed."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from transport_engine import ConfigError, Engine, EngineConfig, Faults, Limits
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
group = 100

[services]
prices = 7100
books = "7200-7201"

[[tenants]]
name = "exchange"
uids = [1000, 1001]
listen = ["prices", 7000, "7300-7399"]
reach = [{ network = "10.0.0.0/8", ports = ["prices", "books"] }]
weight = 3

[tenants.quotas]
channels = 4
messages_per_second = 1000

[[tenants]]
name = "batch"
gids = [500]
"""


def tenant(rest: str, name: str = "a") -> str:
    """One [[tenants]] of a file."""
    return f'[[tenants]]\nname = "{name}"\n{rest}\n'


def loaded(folder: Path, text: str) -> SidecarConfig:
    path = folder / "engine.toml"
    path.write_text(text)
    return load(path)


def test_good_file(tmp_path: Path) -> None:
    config = loaded(tmp_path, GOOD)
    assert config.control.group == 100
    assert [tenant.name for tenant in config.tenants] == ["exchange", "batch"]
    assert config.tenants[0].listen == ("prices", "7000", "7300-7399")
    assert str(config.service_ports["books"]) == "7200-7201"
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
    config, _ = EngineConfig(address=IPv4Address("10.0.0.2"), security="none").into_c()
    default = ffi.new("struct te_engine_config *")
    lib.te_engine_config_init(default)
    for name, _ in ffi.typeof("struct te_engine_config").fields:
        if name not in ("driver", "netif", "congestion", "local", "gateway", "fault"):
            assert getattr(config, name) == getattr(default, name), name
    assert loaded(tmp_path, "").engine.port == lib.TE_PORT_DEFAULT
    assert loaded(tmp_path, "[engine]").engine.port == lib.TE_PORT_DEFAULT


@pytest.mark.parametrize(
    ("said", "mtu_bytes"),
    [
        ({}, 9216),
        ({"address": "::1"}, 9216),
        ({"mtu_bytes": 1500}, 1500),
        ({"address": "10.0.0.2", "security": "none"}, 1500),
        ({"driver": "loopback"}, 1500),
        ({"driver": "dpdk"}, 1500),
    ],
)
def test_packets_are_long_where_no_link_is_in_between(said: Any, mtu_bytes: int) -> None:
    config, _ = EngineConfig(**said).into_c()
    assert config.mtu_bytes == mtu_bytes


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
            '[[tenants]]\nname = "a"\nuids = ["root"]',
            'tenants[0].uids[0] is "root"; allowed is a whole number from 0 to',
        ),
        ('[[tenants]]\nname = "a"\nuids = 5', "tenants[0].uids is 5; allowed is a list, each a"),
        ("[[tenants]]\nuids = [1]", "tenants[0].name is missing; allowed is a string that matches"),
        ('[[tenants]]\nname = "A b"\nuids = [1]', 'tenants[0].name is "A b"; allowed is a string'),
        ('[[tenants]]\nname = "a"', "tenants[0] names nobody; give it uids or gids"),
        (
            tenant("uids = [1]") + tenant("uids = [2]"),
            "tenants[1] has the name a, as tenants[0] has",
        ),
        (
            tenant("uids = [1, 2]") + tenant("uids = [2]", "b"),
            "tenants[1] has the uid 2, as tenants[0] has",
        ),
        (
            tenant("gids = [7]") + tenant("gids = [7]", "b"),
            "tenants[1] has the gid 7, as tenants[0] has",
        ),
        (
            tenant('uids = [1]\nlisten = ["70000"]'),
            'tenants[0].listen: "70000" is not within 1-65535, the lower port first',
        ),
        (
            tenant('uids = [1]\nlisten = ["8000-7000"]'),
            'tenants[0].listen: "8000-7000" is not within 1-65535, the lower port first',
        ),
        (tenant("uids = [1]\nlisten = [0]"), 'tenants[0].listen: "0" is not within 1-65535'),
        (
            tenant('uids = [1]\nlisten = ["prices"]'),
            'tenants[0].listen: "prices" is no name in [services]',
        ),
        (
            tenant('uids = [1]\nlisten = ["80 or so"]'),
            'tenants[0].listen[0] is "80 or so"; allowed is a port such as 7000, ports such as',
        ),
        (
            tenant('uids = [1]\nreach = [{ network = "10.0.0.1/8", ports = [1] }]'),
            'tenants[0].reach[0].network is "10.0.0.1/8"; allowed is an IPv4 network such as',
        ),
        (
            tenant('uids = [1]\nreach = [{ network = "10.0.0.0/8", ports = [] }]'),
            "tenants[0].reach[0].ports is []; allowed is a list of at least 1, each a port",
        ),
        (
            tenant('uids = [1]\nreach = [{ network = "10.0.0.0/8", ports = ["x"] }]'),
            'tenants[0].reach[0].ports: "x" is no name in [services]',
        ),
        (
            tenant("uids = [1]\nweight = 0"),
            "tenants[0].weight is 0; allowed is a whole number from 1",
        ),
        (
            tenant("uids = [1]\nquotas = { bytes_per_second = 10 }"),
            "tenants[0].quotas.bytes_per_second is 10; allowed is a whole number from 1000",
        ),
        (
            tenant("uids = [1]\nquotas = { flow = 1 }"),
            "tenants[0].quotas.flow is not a key; did you",
        ),
        ('[services]\nprices = "80-70"', 'services.prices: "80-70" is not within 1-65535'),
        ('[services]\nprices = "other"', 'services.prices: "other" is no name in [services]'),
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


IN_A_PROGRAM: dict[str, tuple[dict[str, Any], list[str]]] = {
    "value": ({"port": 70000}, ["port is 70000; allowed is a whole number from 0 to 65535"]),
    "key": ({"porto": 7}, ["porto is not a key; did you mean port?"]),
    "within another": (
        {"limits": {"flows_max": 0}},
        [f"limits.flows_max is 0; allowed is a whole number from 1 to {lib.TE_FLOWS_MAX}"],
    ),
    "in the clear": (
        {"address": IPv4Address("10.0.0.2")},
        ["address is 10.0.0.2, which other machines can reach, and the wire is not encrypted yet"],
    ),
    "two": (
        {"port": -1, "mtu_bytes": 0},
        [
            "port is -1; allowed is a whole number from 0 to 65535",
            "mtu_bytes is 0; allowed is a whole number from 1280 to 9216",
        ],
    ),
}


@pytest.mark.parametrize(("given", "told"), IN_A_PROGRAM.values(), ids=IN_A_PROGRAM)
def test_a_program_is_told_as_a_file_is(given: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        EngineConfig(**given)
    for line, sentence in zip(str(caught.value).splitlines(), told, strict=True):
        assert line.startswith(f"EngineConfig: {sentence}")


def test_parts_are_told_by_themselves() -> None:
    with pytest.raises(ConfigError, match="Faults: loss is 2; allowed is a number from 0 to 1"):
        Faults(loss=2)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read: No such file"):
        load(tmp_path / "absent.toml")


def test_file_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "long.toml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"long\.toml is no configuration: it has more than 1 M"):
        load(tmp_path / "long.toml")


def test_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf[engine]\r\nport = 7\r\n")
    assert load(tmp_path / "marked.toml").engine.port == 7


NO_TOML = {
    "cut": b"[engine",
    "nothing": b"a = ",
    "no text": b"\xff\xfe",
    "nested": b"a = " + b"[" * 5000,
    "digits": b"a = " + b"9" * 5000,
}


@pytest.mark.parametrize("data", NO_TOML.values(), ids=NO_TOML.keys())
def test_file_that_is_not_toml(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(data)
    with pytest.raises(ConfigError, match=r"bad\.toml is not TOML: "):
        load(tmp_path / "bad.toml")


@pytest.mark.parametrize(("table", "key"), [("engine", "netif"), ("control", "socket")])
def test_zero_byte_ends_no_text_early(tmp_path: Path, table: str, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"{table}\.{key} is .*zero byte"):
        loaded(tmp_path, f'[{table}]\n{key} = "a\\u0000b"')


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
        has_less = name in {"credit_bytes", "pool_bytes"}
        extra = {"message_bytes_max": 1024} if has_less else {}
        limits = Limits.model_validate({name: value} | extra)
        with Engine(EngineConfig(driver="loopback", limits=limits)):
            pass


def test_socket_path_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRPC_SOCKET", "/somewhere/e.sock")
    assert default_socket_path() == Path("/somewhere/e.sock")
    monkeypatch.delenv("MRPC_SOCKET")
    assert default_socket_path().name == "engine.sock"
