"""An application that is stopped holds up who sends to it, and nobody else; nothing is lost."""

import os
import signal
from pathlib import Path

from tests.e2e.guests import guest, watched_engine
from tests.e2e.processes import Fleet, stand_still
from tests.e2e.stopped import HELD, LIMITS, MESSAGE_BYTES, SINK, STREAM_SECONDS, Sender
from transport_engine import read_stats

RATE = 500
MORE = 200
CREDIT_AND_RING_BYTES = 3 << 20
POOL_BYTES = 64 << 20


async def test_stopped_application_stalls_its_sender_only_and_loses_nothing(tmp_path: Path) -> None:
    with (
        watched_engine(tmp_path, is_sanitized=False, limits=LIMITS) as engine,
        Fleet(tmp_path) as fleet,
    ):
        socket = str(engine.socket)
        stream = fleet.start([guest("stream"), socket, str(STREAM_SECONDS), str(RATE)])
        sink = fleet.start([*SINK, socket])
        port = sink.line()["port"]
        sender = await Sender.to(engine.socket, port)
        assert await sender.send(MORE, patience_seconds=5.0) == MORE
        stand_still(sink.pid)
        try:
            assert await sender.send(HELD, patience_seconds=10.0) == HELD
            before = stream.line()["messages"]
            while stream.line()["messages"] < before + RATE:
                pass  # the neighbour goes on; without that, `line` ends the test
            stats = await read_stats(engine.socket)
            held_blocks = stats["pool_blocks"] - stats["pool_blocks_free"]
            share = held_blocks / stats["pool_blocks"]
            # Beyond the credit and a ring they wait where they were sent from.
            assert share > (HELD * MESSAGE_BYTES - CREDIT_AND_RING_BYTES) / POOL_BYTES
            assert stats["packets_lost"] < HELD // 100  # by chance, on a busy machine
        finally:
            os.kill(sink.pid, signal.SIGCONT)
        assert await sender.send(MORE, patience_seconds=10.0) == MORE
        await sender.end()
        assert sink.line() == {"taken": sender.sent, "wrong": 0}
        stats = await read_stats(engine.socket)
        assert (stats["flows_died"], stats["channels_quarantined"]) == (0, 0)
        await sender.attachment.close()
        assert stream.stop() == 0
