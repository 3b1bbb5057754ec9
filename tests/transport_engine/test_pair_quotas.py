"""What pairs take of the quotas of tenants, and who has none."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.transport_engine.pairs import MIB, PAIR_RING_BYTES, SHORT, is_over, two
from tests.transport_engine.sidecars import Sidecar, until
from transport_engine import ConfigError
from transport_engine.config import parse
from transport_engine.policy import Policy


def policy_of(**tenant: Any) -> Policy:
    """One tenant, which is this user."""
    said = {
        "name": "one",
        "uids": [os.geteuid()],
        "listen": ["1-65535"],
        "reach": [{"network": "127.0.0.0/8", "ports": ["1-65535"]}],
        **tenant,
    }
    config = {
        "control": {"direct_ring_bytes": PAIR_RING_BYTES},
        "tenants": [said],
        "engine": {"limits": {"message_bytes_max": MIB}},
    }
    return Policy.of(parse(config, "test"))


@pytest.mark.parametrize(
    ("tenant", "reason"),
    [
        ({"direct": False}, "tenants[0].direct is false"),
        ({"quotas": {"bytes_per_second": 10**9}}, "tenants[0].quotas.bytes_per_second"),
        ({"quotas": {"messages_per_second": 10**9}}, "tenants[0].quotas.messages_per_second"),
    ],
)
async def test_tenant_that_has_none(tmp_path: Path, tenant: dict[str, Any], reason: str) -> None:
    sidecar = Sidecar(tmp_path / "engine.sock", policy_of(**tenant))
    made = await two(sidecar)
    assert reason in await made.why_not()
    sidecar.close()


async def test_ends_count_as_flows(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "engine.sock", policy_of(quotas={"flows": 5}))
    made = await two(sidecar)
    pairs = [await made.pair(), await made.pair()]
    assert "quotas.flows leaves no room" in await made.why_not()
    assert sidecar.engine.stats()["quota_refusals"] > 0 or sidecar.engine.stats()["flows_open"] <= 1
    for near, far in pairs:
        near.close()
        far.close()
    await until(lambda: len(sidecar.server.pairs) == 0)
    await made.pair()
    sidecar.close()


async def test_memory_counts_and_follows_who_still_has_it(tmp_path: Path) -> None:
    least = 4 * 4 * MIB  # messages of the engine's own maximum
    quotas = {"memory_bytes": least + 2 * 2 * PAIR_RING_BYTES}
    sidecar = Sidecar(tmp_path / "engine.sock", policy_of(quotas=quotas))
    made = await two(sidecar)
    first, second = await made.pair(), await made.pair()
    assert "quotas.memory_bytes leaves no room" in await made.why_not()
    first[0].close()  # the server still has the memory
    await until(lambda: is_over(first[1]))
    assert "quotas.memory_bytes leaves no room" in await made.why_not()
    first[1].close()
    await until(lambda: len(sidecar.server.pairs) == 1)
    await made.pair()
    second[0].close()
    sidecar.close()


async def test_ends_of_a_tenant_are_bounded(tmp_path: Path) -> None:
    policy = replace(Policy.of(SHORT), direct_ends_max=4)
    sidecar = Sidecar(tmp_path / "engine.sock", policy)
    made = await two(sidecar)
    await made.pair()
    await made.pair()
    assert "control.direct_ends_max" in await made.why_not()
    sidecar.close()


async def test_policy_may_forbid_it_to_all(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "engine.sock", replace(Policy.of(SHORT), direct=False))
    made = await two(sidecar)
    assert await made.why_not() == "control.direct is false"
    sidecar.close()


def test_rings_have_a_power_of_two() -> None:
    with pytest.raises(ConfigError, match="power of two"):
        parse({"control": {"direct_ring_bytes": 200_000}}, "test")
