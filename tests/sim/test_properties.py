"""Any small scenario keeps every promise; Hypothesis shrinks the scenario, not the packets."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from transport_engine import simulator
from transport_engine.scenario import Scenario

SHARES = st.sampled_from([0.0, 0.0, 0.01, 0.1, 0.3])
LINKS = st.fixed_dictionaries(
    {
        "delay_us": st.sampled_from([1.0, 25.0, 500.0]),
        "loss": SHARES,
        "duplicate": SHARES,
        "reorder": SHARES,
        "reorder_us": st.sampled_from([1.0, 50.0]),
        "corrupt": SHARES,
        "queue_bytes": st.sampled_from([3000, 1 << 20]),
    }
)
MESSAGES = st.fixed_dictionaries(
    {
        "at_us": st.integers(0, 3000).map(float),
        "source": st.integers(0, 1),
        "size_bytes": st.one_of(st.integers(8, 5000), st.integers(8, 300_000)),
        "lane": st.integers(0, 2),
        "priority": st.integers(0, 7),
    }
).map(lambda message: message | {"target": 1 - message["source"]})
INCIDENTS = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["crash", "stall"]),
            "at_us": st.integers(0, 5000).map(float),
            "node": st.integers(0, 1),
            "for_us": st.integers(1, 5000).map(float),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("blackout"),
            "at_us": st.integers(0, 5000).map(float),
            "link": st.sampled_from(["forward", "back", "all"]),
            "for_us": st.integers(1, 5000).map(float),
        }
    ),
)
DRAFTS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 1000),
        "duration_us": st.just(1e5),
        "topology": st.fixed_dictionaries(
            {"kind": st.just("pair"), "forward": LINKS, "back": LINKS}
        ),
        "workloads": st.lists(
            st.fixed_dictionaries(
                {
                    "kind": st.just("messages"),
                    "messages": st.lists(MESSAGES, min_size=1, max_size=30),
                    "reply_bytes": st.sampled_from([None, 8, 20_000]),
                }
            ),
            min_size=1,
            max_size=2,
        ),
        "incidents": st.lists(INCIDENTS, max_size=3),
    }
)


@settings(max_examples=150)
@given(DRAFTS)
def test_any_scenario_keeps_every_promise(draft: dict[str, Any]) -> None:
    answer = simulator.run(Scenario.model_validate(draft))
    command = f"mrpc sim run - <<< '{json.dumps(draft)}'"
    assert answer["verdict"] == "pass", f"{command}\n{answer['violations'][:3]}"
    messages = answer["messages"]
    assert messages["posted"] == messages["delivered"] + messages["failed"]
