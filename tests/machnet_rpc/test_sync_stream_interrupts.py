"""What a signal's handler raises within a stream of the blocking client ends it, at some time.

Never with fewer items than there are, as if those were all; and the client goes on.
"""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from machnet_rpc import RpcError, _blocking, _blocking_streams, sync
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.conftest import only_inline
from tests.machnet_rpc.moments import MOMENTS_MAX, Alarm, Moments
from tests.machnet_rpc.server_thread import SECONDS_MAX, serving
from tests.machnet_rpc.tap import Drop, Tap, TapDesk
from tests.machnet_rpc.test_sync_interrupts import interrupted_after

HASTY_SECONDS = 0.03


@pytest.fixture
def blocking(via: Via) -> Iterator[sync.Client]:
    with (
        serving(TapDesk(), "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, timeout=SECONDS_MAX) as client,
    ):
        yield client


def read(client: sync.Client) -> int:
    with client.stream(Tap.run, 1) as items:
        return sum(1 for _ in items)


def sent(client: sync.Client) -> int:
    return client.call(Tap.total, sync.Items([Drop(1)]))


@pytest.mark.usefixtures("interruptible")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", [read, sent])
@only_inline
def test_what_is_raised_as_any_function_begins_ends_a_stream(
    blocking: sync.Client, call: Callable[[sync.Client], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (_blocking, _blocking_streams):
        monkeypatch.setattr(module, "LEAVE_SECONDS", 0.01)
    assert call(blocking) == 1
    hasty = blocking.using(timeout=HASTY_SECONDS)
    moments = Moments()
    while not moments.is_over:
        with interrupted_after(SECONDS_MAX) as is_over, contextlib.suppress(KeyboardInterrupt):
            with contextlib.suppress(Alarm, RpcError):
                with moments:
                    count = call(hasty)
                assert count == 1, f"{moments.at}: it ended too early, and nothing says so"
            assert blocking.call(Tap.total, sync.Items([Drop(1)])) == 1
        assert not is_over.is_set(), f"{moments.at}: it waits for ever"
    assert 100 < moments.at < MOMENTS_MAX


@only_inline
def test_what_is_raised_as_the_pump_recovers_holds_up_nobody(
    blocking: sync.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise Alarm

    def total() -> int:
        return blocking.call(Tap.total, sync.Items([Drop(1)]))

    inside = blocking._blocking
    monkeypatch.setattr(inside._private, "turn", interrupted)
    monkeypatch.setattr(Connection, "start_timers", interrupted)
    assert total() == 1
    with pytest.raises(Alarm):
        inside._visit(1.0, inside._look)
    monkeypatch.undo()
    with interrupted_after(SECONDS_MAX) as is_over, contextlib.suppress(KeyboardInterrupt):
        assert total() == 1
    assert not is_over.is_set()
