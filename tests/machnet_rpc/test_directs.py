"""Channels straight to peers, when their engine has gone."""

from typing import Any

import pytest

from machnet_rpc._aio.directs import LEAVE_SECONDS_MAX, Directs


class Flow:
    """What is looked at of a connection, and of a port that has it."""

    def __init__(self, outgoing: int) -> None:
        self.outgoing = outgoing
        self.connections = {0: self}


class Channel:
    """One whose peer never leaves, and takes its share of what it is given."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.given: list[float] = []

    def await_peer(self, seconds: float) -> float:
        self.given.append(seconds)
        return seconds * (1 - self.share)


def test_peers_that_do_not_leave_are_waited_for_together() -> None:
    driver: Any = None
    directs = Directs(driver, lambda _: None)
    channels = [Channel(0.5), Channel(1.0), Channel(1.0), Channel(0.5)]
    for calls, channel in zip((1, 1, 7, 0), channels, strict=True):
        port: Any = Flow(calls)
        directs._channels[port] = channel  # type: ignore[assignment]
    directs.await_peers()
    assert [each.given for each in channels[:3]] == [
        [LEAVE_SECONDS_MAX],
        [pytest.approx(LEAVE_SECONDS_MAX / 2)],
        [0.0],
    ]
    assert channels[3].given == []  # nobody waits for what it owes
