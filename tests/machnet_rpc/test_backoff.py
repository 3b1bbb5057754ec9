"""Pauses grow to a bound and start over."""

from machnet_rpc._aio.backoff import FIRST_SECONDS, LONGEST_SECONDS, Backoff


def test_pauses_grow_to_the_longest_and_start_over() -> None:
    backoff = Backoff()
    assert backoff.pause_seconds() == 0.0
    for failures in range(1, 100):
        backoff.failed()
        whole = min(FIRST_SECONDS * 2.0 ** (failures - 1), LONGEST_SECONDS)
        assert whole / 2 <= backoff.pause_seconds() <= whole
    backoff.succeeded()
    assert backoff.pause_seconds() == 0.0


def test_applications_do_not_come_back_in_step() -> None:
    backoffs = [Backoff() for _ in range(50)]
    for backoff in backoffs:
        backoff.failed()
    assert len({backoff.pause_seconds() for backoff in backoffs}) > 1


def test_a_million_failures_are_one_longest_pause() -> None:
    backoff = Backoff()
    backoff.failures = 1_000_000
    assert LONGEST_SECONDS / 2 <= backoff.pause_seconds() <= LONGEST_SECONDS
