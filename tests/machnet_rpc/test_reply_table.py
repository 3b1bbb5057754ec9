"""What a server remembers of keyed calls, how far back, and as which bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from machnet_rpc._replies import MalformedReply, Reply, digest_of
from machnet_rpc._reply_table import ENTRY_BYTES, Entry, ReplyTable

DIGEST = digest_of(b"request")
REPLIES_MAX, BYTES_MAX, KEEP_NS = 5, 4 * ENTRY_BYTES, 100


def _ended(table: ReplyTable, key: str, now_ns: int, size: int = 0) -> Entry:
    entry = table.begin(key, DIGEST)
    table.end(entry, Reply(0, bytes(size), DIGEST), now_ns)
    return entry


def test_a_key_runs_and_is_answered_alike_from_then_on() -> None:
    table = ReplyTable(10, 1 << 20, 1000, 0)
    entry = table.begin("a", DIGEST)
    assert table.find("a", 1) is entry
    table.end(entry, Reply(0, b"done", DIGEST), 2)
    found = table.find("a", 3)
    assert found is not None
    assert found.reply == Reply(0, b"done", DIGEST)


def test_a_key_that_was_dropped_is_new_and_nothing_was_forgotten() -> None:
    table = ReplyTable(10, 1 << 20, 1000, 0)
    table.drop(table.begin("a", DIGEST))
    assert (table.find("a", 1), len(table), table.remembers_ns) == (None, 0, 0)


def test_the_oldest_is_forgotten_and_that_is_known() -> None:
    table = ReplyTable(2, 1 << 20, 10_000, 0)
    for at, key in enumerate("abc", start=10):
        _ended(table, key, at)
    assert table.find("a", 13) is None
    assert table.find("b", 13) is not None
    assert table.remembers_ns == 11  # what was sent at 10 may have been forgotten


def test_bytes_and_time_are_bounds_too() -> None:
    table = ReplyTable(100, 2 * ENTRY_BYTES + 100, 50, 0)
    _ended(table, "a", 1)
    _ended(table, "b", 2, size=100)
    assert (table.find("a", 3), table.remembers_ns) == (None, 2)
    assert table.find("b", 52) is not None
    assert table.find("b", 53) is None
    assert (table.size_bytes, table.remembers_ns) == (0, 3)


def test_a_reply_larger_than_the_table_is_forgotten_at_once() -> None:
    table = ReplyTable(100, 10, 50, 0)
    _ended(table, "a", 7)
    assert (table.find("a", 7), table.size_bytes, table.remembers_ns) == (None, 0, 8)


class AnyOrder(RuleBasedStateMachine):
    """Whatever is begun and ended: within bounds, and nothing is forgotten in silence."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 1000
        self.table = ReplyTable(REPLIES_MAX, BYTES_MAX, KEEP_NS, self.now_ns)
        self.running: dict[str, Entry] = {}
        self.ended_ns: dict[str, int] = {}

    @rule(step=st.integers(0, 60))
    def wait(self, step: int) -> None:
        self.now_ns += step

    @rule(key=st.sampled_from("abcdefghij"))
    def begin(self, key: str) -> None:
        if self.table.find(key, self.now_ns) is None:
            self.running[key] = self.table.begin(key, DIGEST)
            self.ended_ns.pop(key, None)

    @rule(key=st.sampled_from("abcdefghij"), size=st.integers(0, 3 * ENTRY_BYTES))
    def end(self, key: str, size: int) -> None:
        entry = self.running.pop(key, None)
        if entry is not None:
            self.table.end(entry, Reply(0, bytes(size), DIGEST), self.now_ns)
            self.ended_ns[key] = self.now_ns

    @invariant()
    def bounded(self) -> None:
        assert len(self.table) - len(self.running) <= REPLIES_MAX
        assert 0 <= self.table.size_bytes <= BYTES_MAX

    @invariant()
    def honest(self) -> None:
        for key in self.running:
            assert self.table.find(key, self.now_ns) is self.running[key]
        for key, ended_ns in self.ended_ns.items():
            found = self.table.find(key, self.now_ns)
            assert found is not None or ended_ns < self.table.remembers_ns


TestAnyOrder = AnyOrder.TestCase


@given(st.builds(Reply, st.integers(0, 0xFFFF), st.binary(), st.binary()))
def test_a_reply_is_itself_again(reply: Reply) -> None:
    assert Reply.from_bytes(reply.to_bytes()) == reply


@given(st.binary())
def test_any_bytes_are_a_reply_or_malformed(stored: bytes) -> None:
    try:
        reply = Reply.from_bytes(stored)
    except MalformedReply:
        return
    assert Reply.from_bytes(reply.to_bytes()) == reply


@pytest.mark.parametrize(
    "stored",
    [b"", b"\xc1", b"\x90", b"\x94\x02\xc4\x00\x00\xc4\x00", b"\x94\x01\xa0\x00\xc4\x00"],
    ids=["nothing", "no msgpack", "empty", "version", "types"],
)
def test_malformed_replies_are_told(stored: bytes) -> None:
    with pytest.raises(MalformedReply, match="it"):
        Reply.from_bytes(stored)
