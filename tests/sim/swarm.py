"""A random scenario for every seed: small networks under every fault that the simulator knows.

Ranges: loss 0-30 % (alone and in bursts up to 64), reordering 0-50 %, duplication 0-50 %,
corruption 0-30 %, black-outs, stalls, crashes, tight queues, all kinds of workloads.
`python -m tests.sim.swarm SEED` prints the scenario of a seed, for `mrpc sim run -`.
"""

import json
import random
import sys
from typing import Any, Final, TypeAlias

from transport_engine.scenario import Scenario

Json: TypeAlias = dict[str, Any]

MILLISECOND_US: Final = 1000.0


def scenario(seed: int) -> Scenario:
    """The scenario of a seed."""
    return Scenario.model_validate(draft(seed))


def draft(seed: int) -> Json:
    """The same as JSON, for a file."""
    rng = random.Random(seed)
    topology = rng.choice([_pair, _pair, _dumbbell, _star])(rng)
    hosts = _hosts(topology)
    duration_us = rng.choice([20, 50, 200, 1000]) * MILLISECOND_US
    return {
        "name": f"swarm {seed}",
        "seed": seed,
        "duration_us": duration_us,
        "topology": topology,
        "host": _host(rng),
        "transport": _transport(rng),
        "workloads": [_workload(rng, topology, hosts) for _ in range(rng.randint(1, 3))],
        "incidents": _incidents(rng, hosts, duration_us),
    }


def _mostly_zero(rng: random.Random, chance: float, limit: float) -> float:
    return rng.random() ** 2 * limit if rng.random() < chance else 0.0


def _faults(rng: random.Random) -> Json:
    faults: Json = {
        "loss": _mostly_zero(rng, 0.5, 0.3),
        "duplicate": _mostly_zero(rng, 0.4, 0.5),
        "reorder": _mostly_zero(rng, 0.4, 0.5),
        "reorder_us": rng.uniform(0, 200),
        "corrupt": _mostly_zero(rng, 0.4, 0.3),
        "jitter_us": rng.choice([0, 0, 5, 50]),
    }
    if rng.random() < 0.3:
        faults["bursts"] = {
            "enter": rng.uniform(0.0005, 0.02),
            "leave": rng.uniform(0.02, 0.5),
            "packets_max": 64,
        }
    if rng.random() < 0.1:
        faults["loss_mask"] = rng.getrandbits(64) & rng.getrandbits(64) & rng.getrandbits(64)
    if rng.random() < 0.1:
        faults["loss_packets"] = sorted(rng.sample(range(200), 20))
    if rng.random() < 0.1:
        faults["police_gbps"] = rng.uniform(0.1, 5)
    return faults


def _link(rng: random.Random) -> Json:
    return {
        "rate_gbps": rng.choice([0.1, 1, 10, 10, 25, 100]),
        "delay_us": rng.choice([1, 5, 25, 100, 500, 5000]),
        "queue_bytes": rng.choice([3000, 20000, 100000, 1 << 20]),
        "ecn_bytes": rng.choice([0, 0, 15000]),
    } | _faults(rng)


def _pair(rng: random.Random) -> Json:
    return {"kind": "pair", "forward": _link(rng), "back": _link(rng)}


def _dumbbell(rng: random.Random) -> Json:
    return {
        "kind": "dumbbell",
        "left": rng.randint(1, 4),
        "right": rng.randint(1, 3),
        "bottleneck": _link(rng),
        "back": _link(rng),
    }


def _star(rng: random.Random) -> Json:
    return {"kind": "star", "hosts": rng.randint(2, 6), "downlink": _link(rng)}


def _hosts(topology: Json) -> int:
    return int(topology.get("hosts", topology.get("left", 1) + topology.get("right", 1)))


def _host(rng: random.Random) -> Json:
    stalls = {"stall_every_us": rng.choice([5000, 50000]), "stall_max_us": 20000}
    pool = rng.choice([64 << 20, 256 << 20])
    inbox = {"pool_bytes": pool, "inbox_packets": rng.choice([16, 256, 4096])}
    return inbox | (stalls if rng.random() < 0.3 else {})


def _transport(rng: random.Random) -> Json:
    numbers = [None, None, 0, (1 << 62) - 1, (1 << 32) - 5]
    return {
        "congestion": rng.choice(["swift", "swift", "cubic", "fixed"]),
        "profile": rng.choice(["rack", "cloud"]),
        "mtu_bytes": rng.choice([1280, 1500, 1500, 9000, 9216]),
        "message_bytes_max": 1 << 20,
        "credit_bytes": rng.choice([1 << 20, 2 << 20, 16 << 20]),
        "dead_us": rng.choice([1e6, 6e6]),
        "keep_alive_us": rng.choice([2e5, 2e6]),
        "retry": rng.random() < 0.8,
        "first_number": rng.choice(numbers),
    }


def _size(rng: random.Random) -> int:
    low, high = rng.choice([(8, 64), (8, 2000), (1000, 20000), (20000, 1 << 20)])
    return rng.randint(low, high)


def _order(rng: random.Random) -> Json:
    return {"lane": rng.choice([0, 0, 1, 15]), "priority": rng.choice([0, 0, 3, 7])}


def _workload(rng: random.Random, topology: Json, hosts: int) -> Json:
    kinds = [_calls, _bulk, _poisson, _messages, _incast]
    work: Json = rng.choice(kinds)(rng)
    if work["kind"] == "messages":
        left = topology.get("left", 1)
        _join(rng, work, hosts, left if topology["kind"] == "dumbbell" else 0)
    return work | {"stagger_us": rng.choice([0, 100])}


def _join(rng: random.Random, work: Json, hosts: int, left: int) -> None:
    for message in work["messages"]:
        source, target = rng.sample(range(hosts), 2)
        if left and (source < left) == (target < left):
            source, target = rng.randrange(left), rng.randrange(left, hosts)
        message["source"], message["target"] = source, target


def _calls(rng: random.Random) -> Json:
    count = rng.randint(1, 1500)
    sizes = {"request_bytes": _size(rng) % 100000 + 8, "reply_bytes": _size(rng) % 100000 + 8}
    return {"kind": "calls", "window": rng.randint(1, 64), "count": count} | sizes | _order(rng)


def _bulk(rng: random.Random) -> Json:
    window, size = rng.randint(1, 16), _size(rng)
    count = min(2000, max(1, (8 << 20) // size))
    return {
        "kind": "bulk", "window": window, "count": count, "message_bytes": size
    } | _order(rng)  # fmt: skip


def _poisson(rng: random.Random) -> Json:
    big = rng.randint(1500, 500000)
    return {
        "kind": "poisson",
        "load": rng.uniform(0.01, 0.9),
        "sizes": [(64, 0.2), (1400, 0.7), (big, 1.0)] if rng.random() < 0.7 else [(big, 1.0)],
        "count": rng.randint(1, 1000),
        "reply_bytes": rng.choice([None, 8, 1000]),
    } | _order(rng)


def _incast(rng: random.Random) -> Json:
    return {
        "kind": "incast", "message_bytes": _size(rng), "rounds": rng.randint(1, 20)
    }  # fmt: skip


def _messages(rng: random.Random) -> Json:
    messages = [
        {"at_us": rng.uniform(0, 20000), "size_bytes": _size(rng)} | _order(rng)
        for _ in range(rng.randint(1, 100))
    ]
    return {"kind": "messages", "messages": messages, "reply_bytes": rng.choice([None, 500])}


def _incidents(rng: random.Random, hosts: int, duration_us: float) -> list[Json]:
    incidents: list[Json] = []
    for _ in range(rng.choice([0, 0, 1, 3])):
        at = {"at_us": rng.uniform(0, duration_us)}
        pause = {"for_us": rng.choice([100.0, 5000.0, 300000.0])}
        node, link = {"node": rng.randrange(hosts)}, {"link": "all"}
        incidents.append(
            at
            | rng.choice(
                [
                    {"kind": "blackout"} | link | pause,
                    {"kind": "stall"} | node | pause,
                    {"kind": "crash"} | node | pause,
                    {"kind": "rate", "rate_gbps": rng.uniform(0.1, 100)} | link,
                    {"kind": "delay", "delay_us": rng.uniform(1, 1000)} | link,
                    {"kind": "loss", "loss": rng.uniform(0, 0.3)} | link,
                ]
            )
        )
    return incidents


if __name__ == "__main__":
    print(json.dumps(draft(int(sys.argv[1]))))
