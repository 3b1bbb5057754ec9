"""The policy's decisions, case by case, and against an oracle that looks at every port."""

import os
import random
import resource
import socket
from ipaddress import ip_address, ip_network

import pytest

from transport_engine import ConfigError, Endpoint, ForbiddenError, NoRoomError, QuotaError
from transport_engine.config import SidecarConfig, parse
from transport_engine.policy import OWNER, Peer, Policy, described, pidfd_of
from transport_engine.ports import ALL, Ports

CONFIG = parse(
    {
        "services": {"prices": 7100, "books": "7200-7201"},
        "tenants": [
            {
                "name": "exchange",
                "uids": [1000, 1001],
                "gids": [500],
                "listen": ["prices", "7000-7009"],
                "reach": [
                    {"network": "10.1.0.0/16", "ports": ["books", 443]},
                    {"network": "2001:db8::/32", "ports": ["7000-7999"]},
                    {"network": "192.0.2.7/32", "ports": ["1-65535"]},
                ],
                "weight": 3,
                "quotas": {"channels": 2, "flows": 10, "bytes_per_second": 1_000_000},
            },
            {"name": "batch", "gids": [501, 502], "listen": ["50000-50010", 80]},
            {"name": "mute", "uids": [1002]},
            {"name": "wide", "uids": [1003], "reach": [{"network": "::/0", "ports": [1]}]},
        ],
    },
    "engine.toml",
)
POLICY = Policy.of(CONFIG)
TENANTS = {tenant.name: tenant for tenant in (POLICY.owner, *POLICY.tenants)}
STRANGER = 64000
NOBODY = None


@pytest.mark.parametrize(
    ("uid", "gid", "groups", "name"),
    [
        (0, 0, (), OWNER),
        (os.geteuid(), 0, (), OWNER),
        (1000, 1000, (), "exchange"),
        (1001, 1000, (), "exchange"),
        (1002, 1002, (), "mute"),
        (1003, 1003, (), "wide"),
        (STRANGER, STRANGER, (), NOBODY),
        (STRANGER, 500, (), "exchange"),
        (STRANGER, 501, (), "batch"),
        (STRANGER, 502, (), "batch"),
        (STRANGER, 503, (), NOBODY),
        (STRANGER, STRANGER, (501,), "batch"),
        (STRANGER, STRANGER, (4, 24, 502), "batch"),
        (STRANGER, STRANGER, (501, 500), "exchange"),  # the policy's order
        (STRANGER, 501, (500,), "exchange"),
        (1002, 500, (501,), "mute"),  # a user is more than a group
        (0, 500, (500,), OWNER),
        (STRANGER, 0, (0,), NOBODY),  # root's group is not root
        (500, 1000, (), NOBODY),  # numbers of groups are not numbers of users
        ((1 << 32) - 2, 1, (), NOBODY),
    ],
)
def test_who_is_whose(uid: int, gid: int, groups: tuple[int, ...], name: str | None) -> None:
    peer = Peer(1, uid, gid, frozenset(groups))
    if name is None:
        with pytest.raises(
            ForbiddenError, match=rf"user {uid} may not use .* \[\[tenants\]\]; ask"
        ):
            POLICY.tenant_of(peer)
    else:
        assert POLICY.tenant_of(peer).name == name


@pytest.mark.parametrize(
    ("name", "port", "allowed"),
    [
        (OWNER, 0, True),
        (OWNER, 1, True),
        (OWNER, 65535, True),
        ("exchange", 0, True),
        ("exchange", 6999, False),
        ("exchange", 7000, True),
        ("exchange", 7009, True),
        ("exchange", 7010, False),
        ("exchange", 7100, True),
        ("exchange", 7101, False),
        ("exchange", 7200, False),  # a service that it may reach, and not be
        ("exchange", 65535, False),
        ("batch", 80, True),
        ("batch", 81, False),
        ("batch", 50010, True),
        ("batch", 50011, False),
        ("batch", 0, True),
        ("mute", 0, False),
        ("mute", 7000, False),
        ("wide", 1, False),
    ],
)
def test_who_may_listen_where(name: str, port: int, allowed: bool) -> None:
    tenant = TENANTS[name]
    if allowed:
        tenant.check_listen(port)
        return
    with pytest.raises(ForbiddenError) as caught:
        tenant.check_listen(port)
    sentence = str(caught.value)
    assert f'tenant "{name}" may not listen on {f"port {port}" if port else "any port"}' in sentence
    assert f"tenants[{tenant.share - 1}].listen is {tenant.listen}" in sentence
    assert sentence.endswith("ask who runs this engine to add the port there")


@pytest.mark.parametrize(
    ("name", "remote", "allowed"),
    [
        (OWNER, "127.0.0.1:1", True),
        (OWNER, "[2001:db9::1]:65535", True),
        ("exchange", "10.1.0.0:443", True),
        ("exchange", "10.1.255.255:7200", True),
        ("exchange", "10.1.2.3:7201", True),
        ("exchange", "10.1.2.3:7202", False),
        ("exchange", "10.1.2.3:7100", False),
        ("exchange", "10.2.0.0:443", False),
        ("exchange", "10.0.255.255:443", False),
        ("exchange", "127.0.0.1:443", False),
        ("exchange", "[::ffff:10.1.2.3]:443", True),  # the same address
        ("exchange", "[::ffff:10.2.2.3]:443", False),
        ("exchange", "[::10.1.2.3]:443", False),
        ("exchange", "[2001:db8::1]:7000", True),
        ("exchange", "[2001:db8:ffff::]:7999", True),
        ("exchange", "[2001:db8::1]:443", False),
        ("exchange", "[2001:db9::1]:7000", False),
        ("exchange", "192.0.2.7:1", True),
        ("exchange", "192.0.2.7:65535", True),
        ("exchange", "192.0.2.7:0", False),
        ("exchange", "192.0.2.8:1", False),
        ("batch", "10.1.2.3:443", False),
        ("mute", "127.0.0.1:7000", False),
        ("wide", "[::1]:1", True),
        ("wide", "[::1]:2", False),
        ("wide", "127.0.0.1:1", False),  # an IPv4 address is in no IPv6 network
        ("wide", "[::ffff:127.0.0.1]:1", False),
    ],
)
def test_who_may_reach_whom(name: str, remote: str, allowed: bool) -> None:
    tenant = TENANTS[name]
    if allowed:
        tenant.check_connect(Endpoint.parse(remote))
        return
    with pytest.raises(ForbiddenError) as caught:
        tenant.check_connect(Endpoint.parse(remote))
    assert f'tenant "{name}" may not reach ' in str(caught.value)
    assert f"tenants[{tenant.share - 1}].reach is " in str(caught.value)
    assert str(caught.value).endswith("ask who runs this engine to add the peer there")


@pytest.mark.parametrize(
    ("name", "channels", "allowed"),
    [
        ("exchange", 0, True),
        ("exchange", 1, True),
        ("exchange", 2, False),
        ("exchange", 3, False),
        ("batch", 1000, True),
        (OWNER, 1000, True),
    ],
)
def test_how_many_channels(name: str, channels: int, allowed: bool) -> None:
    if allowed:
        TENANTS[name].check_attach(channels)
    else:
        with pytest.raises(QuotaError, match=r"tenants\[0\]\.quotas\.channels allows: close one"):
            TENANTS[name].check_attach(channels)


def test_how_large_rings() -> None:
    POLICY.check_ring(POLICY.ring_bytes_max)
    with pytest.raises(ForbiddenError, match=r"control\.ring_bytes_max allows, 16777216: ask for"):
        POLICY.check_ring(POLICY.ring_bytes_max + 1)


def test_no_more_flows_names_the_line() -> None:
    assert "tenants[0].quotas.flows allows, 10: close some" in str(
        TENANTS["exchange"].no_more_flows()
    )


def test_decisions_agree_with_an_oracle() -> None:
    """100,000 random questions; the oracle knows each port and network by hand."""
    rng = random.Random(4)
    listen = {7100, *range(7000, 7010)}
    reach = [
        ("10.1.0.0/16", {443, 7200, 7201}),
        ("2001:db8::/32", set(range(7000, 8000))),
        ("192.0.2.7/32", set(range(1, 65536))),
    ]
    exchange = TENANTS["exchange"]
    addresses = ["10.1.0.9", "10.2.0.9", "2001:db8::9", "2001:db9::9", "192.0.2.7", "192.0.2.6"]
    allowed = 0
    for _ in range(100_000):
        port = rng.choice([rng.randrange(65536), rng.randrange(6990, 7210), 443])
        address = ip_address(rng.choice(addresses))
        may_listen = port in listen or port == 0
        may_reach = any(address in ip_network(net) and port in ports for net, ports in reach)
        assert _passes(lambda port=port: exchange.check_listen(port)) == may_listen
        remote = Endpoint(address, port)
        assert _passes(lambda remote=remote: exchange.check_connect(remote)) == may_reach
        allowed += may_listen + may_reach
    assert allowed > 1000


def _passes(check) -> bool:  # type: ignore[no-untyped-def]
    try:
        check()
    except ForbiddenError:
        return False
    return True


def test_default_policy_lets_in_root_and_the_own_user_and_bounds_neither() -> None:
    policy = Policy.of(SidecarConfig())
    allowed = {0, os.geteuid()}
    for uid in (0, 1, 1000, os.geteuid()):
        assert _passes(lambda uid=uid: policy.tenant_of(Peer(1, uid, uid))) == (uid in allowed)
    assert policy.owner.listen == ALL
    assert policy.owner.terms.memory_bytes == 0


def test_own_user_can_be_a_tenant_too() -> None:
    said = {"tenants": [{"name": "self", "uids": [0, os.geteuid()]}]}
    policy = Policy.of(parse(said, "x"))
    assert policy.tenant_of(Peer(1, 0, 0)).name == "self"
    owner, own = described(policy)
    assert owner.startswith("owner (nobody) listens on 1-65535")
    assert own.startswith("self (user 0")


def test_memory_goes_by_weight_and_what_is_said_comes_first() -> None:
    pool = 256 << 20
    assert [tenant.terms.memory_bytes for tenant in (POLICY.owner, *POLICY.tenants)] == [
        pool * weight // 7 for weight in (1, 3, 1, 1, 1)
    ]
    said = {
        "tenants": [
            {"name": "a", "uids": [1], "quotas": {"memory_bytes": 56 << 20}},
            {"name": "b", "uids": [2], "weight": 4},
        ]
    }
    policy = Policy.of(parse(said, "x"))
    parts = [tenant.terms.memory_bytes >> 20 for tenant in (policy.owner, *policy.tenants)]
    assert parts == [40, 56, 160]
    terms = TENANTS["exchange"].terms
    assert (terms.weight, terms.flows_max, terms.bytes_per_second) == (3, 10, 1_000_000)


@pytest.mark.parametrize(
    ("quotas", "whose"),
    [
        ({"memory_bytes": 1 << 20}, r"tenants\[0\] has 1048576 bytes"),
        ({"memory_bytes": 1 << 30}, "the engine's own user has 0 bytes"),
    ],
)
def test_memory_that_is_not_there(quotas: dict[str, int], whose: str) -> None:
    said = {"tenants": [{"name": "a", "uids": [1], "quotas": quotas}]}
    with pytest.raises(ConfigError, match=whose + r".*raise the pool, lower the message"):
        Policy.of(parse(said, "x"))


def test_ports_read_and_print() -> None:
    ports = Ports.parse(["1-3", "9"], {})
    assert str(ports) == "1-3, 9"
    assert [port for port in range(12) if port in ports] == [1, 2, 3, 9]
    assert str(Ports()) == "empty"
    assert sorted(ports.some(10)) == [1, 2, 3, 9]
    assert len(ports.some(2)) == 2
    mixed = Ports.parse(["80", "50000-50002"], {})
    assert sorted(mixed.some(64)) == [50000, 50001, 50002]  # dynamic ones are for who does not care
    assert all(port >= 49152 for port in ALL.some(64))
    assert sorted(Ports.parse(["80-49152", "65534-65535"], {}).some(64)) == [49152, 65534, 65535]


def test_kernel_says_who_and_tells_of_its_end() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer = Peer.of(near)
    assert peer == Peer(os.getpid(), os.geteuid(), os.getegid())
    assert peer.groups == frozenset(os.getgroups())
    descriptor = pidfd_of(near)
    assert descriptor is not None or os.uname().release < "6.5"
    if descriptor is not None:
        os.close(descriptor)
    near.close()
    far.close()


def test_who_cannot_be_watched_for_want_of_descriptors_stays_outside() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        if (descriptor := pidfd_of(near)) is None:
            pytest.skip("the kernel has none to give")
        os.close(descriptor)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            with pytest.raises(NoRoomError, match="no descriptors left"):
                pidfd_of(near)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
