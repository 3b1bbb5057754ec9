"""The oracle accepts every interleaving of a correct store and notices wrong answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from examples.kvstore.oracle import Oracle, Reading, Write

KEY = b"k"


def written(oracle: Oracle, value: bytes | None, *, created: bool = False) -> bool:
    return oracle.write_ended(KEY, oracle.write_begins(KEY, value), created=created)


def seen(oracle: Oracle, value: bytes | None) -> bool:
    return oracle.read_ended(oracle.read_begins(KEY), value)


def test_what_was_written_is_read() -> None:
    oracle = Oracle()
    assert seen(oracle, None)
    assert written(oracle, b"1", created=True)
    assert seen(oracle, b"1")
    assert not seen(oracle, None)
    written(oracle, b"2")
    assert not seen(oracle, b"1")
    written(oracle, None)
    assert not seen(oracle, b"2")
    assert seen(oracle, None)
    assert (oracle.answers, oracle.wrong) == (9, 3)


def test_a_write_says_whether_there_was_something() -> None:
    oracle = Oracle()
    assert not written(oracle, b"1", created=False)
    assert not written(oracle, b"2", created=True)
    assert written(oracle, b"3", created=False)
    gone = oracle.write_begins(KEY, None)
    during = oracle.write_begins(KEY, b"4")
    assert oracle.write_ended(KEY, gone, created=False)
    assert oracle.write_ended(KEY, during, created=True)
    oracle.write_begins(KEY, None)  # may happen at any time
    assert written(oracle, b"5", created=True)
    assert written(oracle, b"6", created=False)


def test_overlapping_writes_leave_either() -> None:
    oracle = Oracle()
    first, second = oracle.write_begins(KEY, b"1"), oracle.write_begins(KEY, b"2")
    assert all(seen(oracle, value) for value in (None, b"1", b"2"))
    assert oracle.write_ended(KEY, first, created=True)
    assert oracle.write_ended(KEY, second, created=True)  # the first may have been it, or this one
    assert seen(oracle, b"1")
    assert seen(oracle, b"2")
    assert not seen(oracle, None)
    written(oracle, b"3")
    assert not seen(oracle, b"1")


def test_a_read_may_see_what_was_written_meanwhile() -> None:
    oracle = Oracle()
    reading, late = oracle.read_begins(KEY), oracle.read_begins(KEY)
    written(oracle, b"1", created=True)
    written(oracle, b"2")
    assert oracle.read_ended(reading, b"1")
    assert not oracle.read_ended(late, b"3")


def test_a_write_of_unknown_fate_stays_possible() -> None:
    oracle = Oracle()
    oracle.write_begins(KEY, b"lost?")
    written(oracle, b"1")
    assert seen(oracle, b"lost?")
    assert seen(oracle, b"1")


@given(st.data())
def test_a_correct_store_is_never_accused(data: st.DataObject) -> None:
    """Calls begin, take effect at one moment, and end; in any order."""
    oracle = Oracle()
    held: bytes | None = None
    writes: list[tuple[Write, bytes | None, bool | None]] = []  # the last: whether it created
    reads: list[tuple[Reading, bytes | None, bool]] = []
    for step in range(data.draw(st.integers(1, 40))):
        match data.draw(st.sampled_from(["write", "read", "effect", "end"])):
            case "write":
                value = data.draw(st.sampled_from([b"%d" % step, None]))
                writes.append((oracle.write_begins(KEY, value), value, None))
            case "read":
                reads.append((oracle.read_begins(KEY), None, False))
            case "effect":
                waiting = [i for i, (_, _, created) in enumerate(writes) if created is None]
                if waiting:
                    i = data.draw(st.sampled_from(waiting))
                    write, value, _ = writes[i]
                    writes[i] = (write, value, held is None)
                    held = value
                waiting = [i for i, (_, _, done) in enumerate(reads) if not done]
                if waiting:
                    i = data.draw(st.sampled_from(waiting))
                    reads[i] = (reads[i][0], held, True)
            case _:
                for write, _, created in writes:
                    if created is not None:
                        assert oracle.write_ended(KEY, write, created=created)
                writes = [entry for entry in writes if entry[2] is None]
                for reading, value_seen, done in reads:
                    if done:
                        assert oracle.read_ended(reading, value_seen)
                reads = [entry for entry in reads if not entry[2]]
    assert oracle.wrong == 0
