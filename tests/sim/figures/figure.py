"""A figure: a function that runs its scenarios and says what it reached."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from transport_engine import simulator
from transport_engine.scenario import Scenario

Json: TypeAlias = dict[str, Any]

DELAY_US: Final = 25.0  # a round trip of 50 us


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was reached, and whether that is enough."""

    reached: str
    is_good: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    what: str
    bar: str
    measure: Callable[[], Outcome]


def run(draft: Json, seed: int = 1) -> Json:
    """The answer to a scenario, which must keep every promise."""
    answer = simulator.run(Scenario.model_validate(draft), seed)
    assert answer["verdict"] == "pass", (draft, answer["violations"][:2])
    return answer


def pair(link: Json, workload: Json, **whole: Any) -> Json:
    """A scenario of two hosts."""
    return {
        "topology": {"kind": "pair", "forward": {"delay_us": DELAY_US} | link},
        "workloads": [workload],
    } | whole
