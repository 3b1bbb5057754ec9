"""A short run of the canary; tests/e2e/canary.py sends more."""

from tests.e2e.canary import run

MEGABYTES = 24


def test_mark_of_a_tenant_is_found_nowhere_else() -> None:
    figures = run(MEGABYTES)
    assert figures.bytes_marked >= MEGABYTES << 20
    assert figures.messages_of_b > 0
    assert figures.found_in_a > 0, "the search of memory finds nothing at all"
    if figures.datagrams_of_b >= 0:  # it takes privilege to look at the wire
        assert figures.found_on_wire_of_a > 0, "the search of the wire finds nothing at all"
        assert figures.datagrams_of_b > 0
    assert figures.leaks == 0, figures
