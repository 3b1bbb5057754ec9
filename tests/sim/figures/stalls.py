"""Hosts that stall while packets for them are under way: patience, not retransmission."""

import random
from collections import Counter
from dataclasses import dataclass
from typing import Final

from tests.sim.figures.figure import Json, Outcome, pair, run

STALLS: Final = 100_000
STALL_US: Final = (1000, 20_000)
AWAKE_US: Final = (100, 600)  # between two stalls
OPEN_US: Final = 100_000
RUN_STALLS: Final = 2500
RUNS_MAX: Final = 200

_CALLS: Final[Json] = {"kind": "calls", "request_bytes": 1000, "reply_bytes": 100}
_BULK: Final[Json] = {"kind": "bulk", "message_bytes": 100_000}


@dataclass(frozen=True, slots=True)
class Situation:
    """What is under way when hosts stall, and which of them do."""

    link: Json
    workload: Json
    hosts: tuple[int, ...] = (1,)
    transport: Json | None = None

    def answer(self, seed: int) -> Json:
        """To so many stalls, none of which loses a packet."""
        rng = random.Random(seed)
        at_us: float = OPEN_US
        incidents: list[Json] = []
        for _ in range(RUN_STALLS):
            at_us += rng.uniform(*AWAKE_US)
            stall = {
                "at_us": at_us,
                "node": rng.choice(self.hosts),
                "for_us": rng.uniform(*STALL_US),
            }
            incidents.append({"kind": "stall"} | stall)
            at_us += stall["for_us"]
        transport = self.transport or {}
        draft = pair(
            self.link, self.workload, duration_us=at_us, incidents=incidents, transport=transport
        )
        return run(draft, seed)


SITUATIONS: Final = (
    Situation({}, _CALLS),
    Situation({}, _CALLS, hosts=(0, 1)),
    Situation({"delay_us": 5}, _CALLS),
    Situation({"delay_us": 250}, _CALLS),
    Situation({}, _CALLS, transport={"profile": "cloud"}),
    Situation({}, _CALLS | {"window": 16}, hosts=(0, 1)),
    Situation({"rate_gbps": 1}, _BULK),
    Situation({"rate_gbps": 1}, _BULK, hosts=(0, 1)),
    Situation({"rate_gbps": 1}, _BULK, transport={"congestion": "cubic"}),
    Situation({}, _BULK | {"window": 1}),
)


def stalls() -> Outcome:
    """Calls one at a time and in tens, bulk that waits for its receiver, and for itself."""
    seen: Counter[str] = Counter()
    for run_number in range(RUNS_MAX):
        if seen["stalls_felt"] >= STALLS:
            break
        seen.update(SITUATIONS[run_number % len(SITUATIONS)].answer(run_number)["counts"])
    felt, mistaken = seen["stalls_felt"], seen["timeouts"] + seen["packets_declared_lost"]
    text = f"{seen['timeouts']} RTOs, {seen['packets_declared_lost']} taken for lost"
    text += f"; of {seen['stalls']:,}, {felt:,} kept packets waiting"
    return Outcome(text, mistaken == 0 and felt >= STALLS)
