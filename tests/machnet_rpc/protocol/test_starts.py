"""The last word of a server that is gone: what its callers are told by it."""

import random
import struct

import pytest

from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import HEARD_NEVER, HEARD_NOTHING, HEARD_STARTED, HEARD_TAKEN
from machnet_rpc._protocol.events import Failed
from machnet_rpc._protocol.outbox import Ticket
from machnet_rpc._protocol.starts import SIZE, WORDS, Starts
from tests.machnet_rpc.protocol.pair import Pair

PEER_CLOSED = 2


def word(newest: int, noted: dict[int, int]) -> bytes:
    """A last word, as an engine packs it."""
    words = [0] * WORDS
    for call_id, state in noted.items():
        words[call_id // 32 % WORDS] |= state << call_id % 32 * 2
    return struct.pack(f"<{1 + WORDS}Q", newest, *words)


def test_of_each_call_is_known_what_was_noted() -> None:
    starts = Starts(word(5000, {4990: HEARD_STARTED, 4991: HEARD_TAKEN, 4101: HEARD_STARTED}))
    assert starts.heard(4990) == starts.heard(4101) == HEARD_STARTED
    assert starts.heard(4991) == HEARD_TAKEN
    assert starts.heard(4992) == starts.heard(5001) == starts.heard(4100) == HEARD_NEVER
    assert starts.heard(3999) == starts.heard(0) == HEARD_NOTHING  # too long ago


@pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE + 1, 5000])
def test_what_is_no_last_word_is_counted_and_changes_nothing(size: int) -> None:
    pair = Pair()
    call = pair.call()
    pair.to_server()
    pair.server.connection.post(Ticket(), bytes(size), records.LAST_WORD, 0, 0, priority=0)
    pair.to_client()
    assert pair.client.connection.records_ignored == 1
    assert call.executed == "maybe"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_last_word_holds_calls_end_once(seed: int) -> None:
    chance, pair = random.Random(seed), Pair()
    calls = [pair.call() for _ in range(50)]
    pair.to_server()
    newest = chance.choice([0, 20, 1 << 63, (1 << 64) - 1, chance.getrandbits(64)])
    payload = newest.to_bytes(8, "little") + chance.randbytes(SIZE - 8)
    pair.server.connection.post(Ticket(), payload, records.LAST_WORD, 0, 0, priority=0)
    pair.to_client()
    ends = [each for each in pair.client.connection.closed(PEER_CLOSED) if isinstance(each, Failed)]
    assert [end.call for end in ends] == calls


def test_a_last_word_is_told_to_calls_and_takes_nothing_back() -> None:
    pair = Pair()
    begun, taken, never, started = (pair.call() for _ in range(4))
    pair.to_server()
    pair.server.connection.tell_begun([begun.call_id])
    noted = {taken.call_id: HEARD_TAKEN, started.call_id: HEARD_STARTED}
    payload = word(started.call_id, noted)
    pair.server.connection.post(Ticket(), payload, records.LAST_WORD, 0, 0, priority=0)
    pair.to_client()
    ends = list(pair.client.connection.closed(PEER_CLOSED))
    assert {
        end.call.call_id: (end.executed, end.stage) for end in ends if isinstance(end, Failed)
    } == {
        begun.call_id: ("yes", "handler started"),
        taken.call_id: ("maybe", "taken"),
        never.call_id: ("no", "sent"),
        started.call_id: ("yes", "handler started"),
    }
