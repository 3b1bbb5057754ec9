"""Each verdict of the checker about a change is what happens when the two versions really talk."""

import pytest

from idl import Finding, compare
from idl.compat import Who
from tests.idl.evolution import Outcome, Pair, Verdict, Version, outcome
from tests.idl.evolution_choices import CHOICES
from tests.idl.evolution_configs import CONFIGS
from tests.idl.evolution_members import MEMBERS
from tests.idl.evolution_signatures import SIGNATURES
from tests.idl.evolution_streams import STREAMS, StreamPair, stream_outcome
from tests.idl.evolution_types import TYPES
from tests.idl.evolution_unusual import UNUSUAL

PAIRS = SIGNATURES + TYPES + CHOICES + UNUSUAL + CONFIGS + MEMBERS
ORDER: list[Verdict] = ["compatible", "risky", "breaking"]
# What may happen where the checker says so; "risky" is told apart by the pair itself.
HAPPENS: dict[Verdict, set[Outcome]] = {
    "compatible": {"whole", "loses"},
    "risky": {"whole", "loses", "changed", "fails"},
    "breaking": {"changed", "fails"},
}


def verdict(found: list[Finding], who: Who) -> Verdict:
    severities = [ORDER.index(finding.severity) for finding in found if finding.who == who]
    return ORDER[max(severities, default=0)]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
async def test_verdicts_are_what_happens(pair: Pair) -> None:
    found = compare(pair.old.schema, pair.new.schema)
    told = "\n".join(map(str, found))
    assert verdict(found, "old clients") == pair.old_clients[0], told
    assert verdict(found, "new clients") == pair.new_clients[0], told
    happened = await outcome(pair.old, pair.new, method_of(pair.old))
    assert happened == pair.old_clients[1], f"old clients, {told}"
    assert happened in HAPPENS[pair.old_clients[0]]
    happened = await outcome(pair.new, pair.old, method_of(pair.new))
    assert happened == pair.new_clients[1], f"new clients, {told}"
    assert happened in HAPPENS[pair.new_clients[0]]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_nothing_is_found_where_nothing_changed(pair: Pair) -> None:
    for version in (pair.old, pair.new):
        assert compare(version.schema, version.schema) == []


@pytest.mark.parametrize("pair", STREAMS, ids=lambda pair: pair.name)
async def test_verdicts_about_streams_are_what_happens(pair: StreamPair) -> None:
    found = compare(pair.old.schema, pair.new.schema)
    told = "\n".join(map(str, found))
    assert verdict(found, "old clients") == pair.old_clients, told
    assert verdict(found, "new clients") == pair.new_clients, told
    for client, server, expected in (
        (pair.old, pair.new, pair.old_clients),
        (pair.new, pair.old, pair.new_clients),
    ):
        assert (await stream_outcome(client, server) == "whole") == (expected == "compatible")


def test_a_method_that_was_renamed_is_told_so() -> None:
    (finding, _) = compare(Version("f(a: int) -> int").schema, Version("g(a: int) -> int").schema)
    assert str(finding) == (
        "breaking: old clients of a new server: s/f: the method was removed; g has the same "
        "signature: a name that travels cannot be changed"
    )


def test_a_method_that_was_there_before_is_no_new_name_of_one_that_was_removed() -> None:
    old, new = Version(["f(a: int) -> int", "g(a: int) -> int"]), Version("g(a: int) -> int")
    (finding,) = compare(old.schema, new.schema)
    assert finding.why == "the method was removed"


def test_an_error_with_another_code_is_told_with_both_codes() -> None:
    old, new = (
        Version("f() -> None", f"class Fault({base}):\n    ...", options="@rpc(errors=[Fault])")
        for base in ("NotFound", "Exception")
    )
    assert [finding.why for finding in compare(old.schema, new.schema)] == [
        "its code is UNKNOWN for a new server, and NOT_FOUND for an old client",
        "its code is NOT_FOUND for an old server, and UNKNOWN for a new client",
    ]


def test_both_are_told_what_contracts_declare_otherwise() -> None:
    old = Version("f() -> None", options="@rpc(timeout=5, lane=2)").schema
    new = Version("f() -> None", options="@rpc(timeout=1.5, lane=1)").schema
    assert [(finding.who, finding.why) for finding in compare(old, new)] == [
        ("old clients", "their timeout is 5 s, and the server's contract says 1.5 s"),
        ("old clients", "their calls use lane 2, and the server's contract says 1"),
        ("new clients", "their timeout is 1.5 s, and the server's contract says 5 s"),
        ("new clients", "their calls use lane 1, and the server's contract says 2"),
    ]


def method_of(version: Version) -> str:
    methods = version.methods
    return (methods if isinstance(methods, str) else methods[0]).partition("(")[0]


def test_there_are_pairs_of_every_sort() -> None:
    assert len({pair.name for pair in PAIRS}) == len(PAIRS) >= 40
    for who in ("old_clients", "new_clients"):
        assert {getattr(pair, who)[0] for pair in PAIRS} == set(ORDER)
