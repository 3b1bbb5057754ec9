"""What is valid by the W3C's recommendation: the cases of its own test suite, and any others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machnet_rpc._trace_context import MEMBERS_MAX, STATE_CHARACTERS_MAX, TraceContext

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        (PARENT, 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-ff", 0xFF),
        (f"cc-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-ff", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
        (f"01-{TRACE}-{SPAN}-00-\n", 0),
    ],
)
def test_a_traceparent(header: str, flags: int) -> None:
    assert TraceContext.of({"traceparent": header}) == TraceContext(TRACE, SPAN, flags)


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"00-{TRACE}-{SPAN}-01.",
        f"00-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        f"00-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
        f"cc-{TRACE}-{SPAN}-0",
        f"ff-{TRACE}-{SPAN}-01",
        f".0-{TRACE}-{SPAN}-01",
        f"0.-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE[1:]}.-{SPAN}-01",
        f"00-{TRACE}3-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}7-01",
        f"00-{TRACE}-{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN}-.0",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}A-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0A",
        f"00-{TRACE}-{SPAN[:-1]}\u0661-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00_{TRACE}_{SPAN}_01",
        PARENT.encode(),
    ],
)
def test_what_is_no_traceparent(header: str | bytes) -> None:
    assert TraceContext.of({"traceparent": header, "tracestate": "foo=1"}) is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("foo=1", "foo=1"),
        ("foo=1,bar=2", "foo=1,bar=2"),
        ("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3"),
        ("\t foo=1 \t", "foo=1"),
        ("foo=1,,bar=2, ,", "foo=1,bar=2"),
        ("foo=  1", "foo=  1"),
        ("foo=1;2", "foo=1;2"),
        (f"{'z' * 256}=1", f"{'z' * 256}=1"),
        (f"{'t' * 241}@{'v' * 14}=1", f"{'t' * 241}@{'v' * 14}=1"),
        ("0tenant@system=1", "0tenant@system=1"),
        ("a0_-*/=1", "a0_-*/=1"),
        (f"foo={'1' * 256}", f"foo={'1' * 256}"),
        (",".join(f"bar{n:02}={n:02}" for n in range(MEMBERS_MAX)),) * 2,
        ("", ""),
        (" , ", ""),
        ("foo=1,foo=1", ""),
        ("foo=1,foo=2", ""),
        ("foo =1", ""),
        ("FOO=1", ""),
        ("foo.bar=1", ""),
        ("0foo=1", ""),
        ("foo@=1,bar=2", ""),
        ("@foo=1,bar=2", ""),
        ("foo@@bar=1,bar=2", ""),
        ("foo@bar@baz=1,bar=2", ""),
        ("foo@0bar=1", ""),
        (",".join(f"bar{n:02}={n:02}" for n in range(MEMBERS_MAX + 1)), ""),
        (f"foo=1,{'z' * 257}=1", ""),
        (f"foo=1,{'t' * 242}@v=1", ""),
        (f"foo=1,t@{'v' * 15}=1", ""),
        ("foo=bar=baz", ""),
        ("foo=,bar=3", ""),
        (f"foo={'1' * 257}", ""),
        ("foo=\x7f", ""),
        ("foo=ä", ""),
        ("foo=1\n", ""),
        ("foo", ""),
    ],
)
def test_a_tracestate(given: str, kept: str) -> None:
    found = TraceContext.of({"traceparent": PARENT, "tracestate": given})
    assert found == TraceContext(TRACE, SPAN, 1, kept)


def test_a_tracestate_of_bytes_is_none() -> None:
    found = TraceContext.of({"traceparent": PARENT, "tracestate": b"foo=1"})
    assert found == TraceContext(TRACE, SPAN, 1)


KEYS = st.from_regex(r"[a-z][a-z0-9_*/-]{0,20}", fullmatch=True) | st.from_regex(
    r"[a-z0-9][a-z0-9_*/-]{0,20}@[a-z][a-z0-9_*/-]{0,13}", fullmatch=True
)
VALUES = st.from_regex(r"[ -+\--<>-~]{0,255}[!-+\--<>-~]", fullmatch=True)
STATES = st.dictionaries(KEYS, VALUES, max_size=MEMBERS_MAX)
HEXADECIMAL = st.text("0123456789abcdef-")
NEARLY = st.builds("-".join, st.lists(HEXADECIMAL, max_size=6)) | st.text(max_size=70)


@settings(max_examples=50)
@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255), STATES)
def test_what_is_sent_is_received(
    trace_id: int, parent_id: int, flags: int, state: dict[str, str]
) -> None:
    members = [f"{key}={value}" for key, value in state.items()]
    sent = TraceContext(f"{trace_id:032x}", f"{parent_id:016x}", flags, ",".join(members))
    received = TraceContext.of(sent.as_metadata())
    assert received is not None
    assert received.traceparent == sent.traceparent
    kept = received.tracestate.split(",") if received.tracestate else []
    assert len(received.tracestate) <= STATE_CHARACTERS_MAX
    assert kept == [each for each in members if each in kept]  # whole ones, in order
    lost = [each for each in members if each not in kept]
    if lost and any(len(each) > 128 for each in kept):
        assert all(len(each) > 128 for each in lost)  # long ones are the first to go
    if len(sent.tracestate) <= STATE_CHARACTERS_MAX:
        assert received == sent


def test_of_a_long_tracestate_the_longest_members_go_first() -> None:
    short, usual, long = f"a={'1' * 100}", f"b={'1' * 126}", f"c={'1' * 127}"
    other = f"d={'1' * 200}"
    for members, sent in (
        ([long, usual, short, other], [long, usual, short]),
        ([long, other, usual, short], [long, usual, short]),
        ([other, long, f"e={'1' * 250}", usual], [other, long, usual]),
        ([f"{key}={'1' * 126}" for key in "abcde"], [f"{key}={'1' * 126}" for key in "abc"]),
    ):
        place = TraceContext(TRACE, SPAN, 0, ",".join(members))
        assert place.as_metadata()["tracestate"] == ",".join(sent)


@given(NEARLY | st.binary(max_size=70), NEARLY | st.binary(max_size=70))
def test_any_text_is_a_place_in_a_trace_or_none(parent: str | bytes, state: str | bytes) -> None:
    found = TraceContext.of({"traceparent": parent, "tracestate": state})
    if found is not None:
        again = TraceContext.of(found.as_metadata())
        assert again is not None
        assert again.traceparent == found.traceparent


@given(st.data())
def test_one_character_more_or_less_is_told(data: st.DataObject) -> None:
    """Of version 00: every edit of a valid header that is taken is one of digits for digits."""
    at = data.draw(st.integers(0, len(PARENT) - 1))
    other = data.draw(st.characters())
    assert TraceContext.of({"traceparent": PARENT[:at] + PARENT[at + 1 :]}) is None
    inserted = TraceContext.of({"traceparent": PARENT[:at] + other + PARENT[at:]})
    assert inserted is None
    changed = TraceContext.of({"traceparent": PARENT[:at] + other + PARENT[at + 1 :]})
    if changed is not None:
        assert other in ("0123456789abcdef" if at not in (2, 35, 52) else "-")


@pytest.mark.parametrize(
    ("trace_id", "parent_id", "flags", "state"),
    [
        ("0" * 32, SPAN, 0, ""),
        (TRACE, "0" * 16, 0, ""),
        (TRACE.upper().replace("1", "A"), SPAN, 0, ""),
        (f"{TRACE}-{SPAN}-01", SPAN, 0, ""),
        (TRACE, SPAN, 256, ""),
        (TRACE, SPAN, -1, ""),
        (TRACE, SPAN, 1, "no state"),
    ],
)
def test_what_cannot_be_sent_is_not_made(
    trace_id: str, parent_id: str, flags: int, state: str
) -> None:
    with pytest.raises(ValueError, match=r"is no trace(parent|state)"):
        TraceContext(trace_id, parent_id, flags, state)


def test_a_new_trace_is_one_of_its_own() -> None:
    first, second = TraceContext.new(sampled=True), TraceContext.new()
    assert (first.is_sampled, second.is_sampled) == (True, False)
    assert len({first.trace_id, second.trace_id, first.parent_id, second.parent_id}) == 4
    assert TraceContext.of(first.as_metadata()) == first
