"""The oracle sees what it is there to see: each bug planted in the flow turns the swarm red."""

import pytest

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
        "return message->lane == 0 || message->lane_sequence ==",
        "return 1 || message->lane_sequence ==",
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


def test_no_bug_no_alarm(toolchain: Toolchain) -> None:
    answers = swarm_with(toolchain.library(), range(20))
    assert [answer["verdict"] for answer in answers] == ["pass"] * 20


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: str(mutation.name))
def test_bug_is_seen(toolchain: Toolchain, mutation: Mutation) -> None:
    last = swarm_with(toolchain.library(mutation), SEEDS)[-1]
    assert last["verdict"] == "fail"
    print(mutation.name, last["violations"][0]["kind"])
