"""The oracle sees what it is there to see: each bug planted in the flow turns the swarm red."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ahead import Ahead, ahead, asked
from tests.sim.variants import Mutation, Toolchain, swarm_with

SEEDS = range(60)
MUTATIONS = (
    Mutation(
        "no_duplicate_check",
        "flow/reassembly.c",
        "if (window_is_done(&reassembly->whole, frame->id)) {",
        "if (0) {",
    ),
    Mutation(
        "no_lane_order",
        "flow/reassembly.c",
        "if (!reassembly_is_turn(reassembly, lane,",
        "if (!reassembly_is_turn(reassembly, 0,",
    ),
    Mutation(
        "no_checksum",
        "flow/packet.c",
        "if (load_u32(bytes + covered_bytes) != crc32c(bytes, covered_bytes)) {",
        "if (0) {",
    ),
    Mutation(
        "segments_in_the_wrong_place",
        "flow/reassembly.c",
        "&store->blocks, frame->offset_bytes, frame->bytes,",
        "&store->blocks, 0, frame->bytes,",
    ),
    Mutation(
        "losses_forgotten",
        "flow/flow.c",
        "send_queue_lost(&flow->out, store, &packet->fragments[i]);",
        ";",
    ),
    Mutation(
        "memory_kept",
        "flow/reassembly.c",
        "    body_fini(&message->body, &store->blocks);\n",
        "",
    ),
    Mutation(
        "dead_by_the_clock",
        "flow/flow.c",
        "return max_u64(flow->last_heard_ns, flow->waiting_since_ns) + flow->config->dead_ns;",
        "return flow->opened_ns + flow->config->dead_ns / 1000;",
    ),
    Mutation(
        "violations_imagined",
        "flow/ledger.c",
        "*is_violation = largest >= ledger->next_number;",
        "*is_violation = largest + 1 >= ledger->next_number;",
    ),
)


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    return Toolchain(tmp_path_factory.mktemp("mutations"))


@pytest.fixture(scope="module")
def last_answers(
    request: pytest.FixtureRequest, toolchain: Toolchain
) -> Iterator[Ahead[Mutation, dict[str, Any]]]:
    """What the swarm ends with under each bug."""

    def last_answer(mutation: Mutation) -> dict[str, Any]:
        return swarm_with(toolchain.library(mutation), SEEDS)[-1]

    toolchain.library()  # its objects are those of all others
    with ahead(last_answer, asked(request, test_bug_is_seen, "mutation")) as answers:
        yield answers


def test_no_bug_no_alarm(toolchain: Toolchain) -> None:
    answers = swarm_with(toolchain.library(), range(20))
    assert [answer["verdict"] for answer in answers] == ["pass"] * 20


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: str(mutation.name))
def test_bug_is_seen(last_answers: Ahead[Mutation, dict[str, Any]], mutation: Mutation) -> None:
    last = last_answers[mutation]
    assert last["verdict"] == "fail"
    print(mutation.name, last["violations"][0]["kind"])
