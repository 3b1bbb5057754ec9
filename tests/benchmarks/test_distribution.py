"""Percentiles, medians over rounds, and noise."""

import pytest

from benchmarks.distribution import (
    SHARES_BEYOND,
    curve_key,
    medians,
    noise,
    percentiles_us,
    worst_step,
)


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    told = percentiles_us([value * 1000 for value in reversed(range(1, 1001))])
    assert told["p50_us"] == 500
    assert told["p90_us"] == 900
    assert told["p99_us"] == 990
    assert told["p999_us"] == 999
    assert percentiles_us([3000, 1000, 2000])["p50_us"] == 2


def test_one_call_is_every_percentile() -> None:
    assert percentiles_us([7000])["p999_us"] == 7
    assert not percentiles_us([])


def test_curve_ends_where_fewer_than_ten_calls_lie_beyond() -> None:
    told = percentiles_us(list(range(1000)))
    last = max(index for index in range(len(SHARES_BEYOND)) if curve_key(index) in told)
    assert SHARES_BEYOND[last] * 1000 >= 10 > SHARES_BEYOND[last + 1] * 1000
    assert told[curve_key(0)] == told["p50_us"]


def test_medians_are_over_the_rounds_that_have_a_figure() -> None:
    assert medians([{"a": 1.0}, {"a": 5.0, "b": 2.0}, {"a": 2.0}]) == {"a": 2.0, "b": 2.0}


def test_noise_is_the_spread_over_the_median() -> None:
    assert noise([8.0, 10.0, 14.0]) == pytest.approx(0.6)
    assert noise([0.0, 0.0]) == 0.0


def test_worst_step_is_the_deepest_fall_below_the_best_so_far() -> None:
    assert worst_step([1.0, 2.0, 4.0]) == 1.0
    assert worst_step([1.0, 4.0, 3.0, 8.0, 7.0]) == 0.75
