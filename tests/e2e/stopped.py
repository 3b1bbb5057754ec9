"""An application that is stopped (SIGSTOP) while another sends to it, and neighbours of both.

`python -m tests.e2e.stopped sink SOCKET` is the application: it takes numbered messages until the
last one, and says if one was missing. `python -m tests.e2e.stopped figure` measures what a stopped
application costs its neighbours.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.e2e.guests import Watched, guest, watched_engine
from tests.e2e.processes import Running, stand_still
from transport_engine import Endpoint, SidecarAttachment, attach
from transport_engine._native import lib
from transport_engine.channel import FIELDS, READABLE, RECORD, WRITABLE

MESSAGE_BYTES: Final = 8192
LANE: Final = 1
HELD: Final = 2000  # messages for a stopped application: 16 MiB, a quarter of the engine's memory
LIMITS: Final = "message_bytes_max = 65536\ncredit_bytes = 1048576\npool_bytes = 67108864"
CALL_ID, KIND, FLOW = (FIELDS.index(name) for name in ("call_id", "kind", "flow"))
WAIT_SECONDS_MAX: Final = 30.0
SINK_SECONDS_MAX: Final = 600.0  # between messages; it may be stopped for long
STREAM_SECONDS: Final = 36_000
SINK: Final = (sys.executable, "-m", "tests.e2e.stopped", "sink")


def packed(number: int, flow: int, kind: int) -> bytes:
    """One whole message."""
    fields = dict.fromkeys(FIELDS, 0) | {
        "call_id": number,
        "flow": flow,
        "size_bytes": MESSAGE_BYTES,
        "total_bytes": MESSAGE_BYTES,
        "kind": kind,
        "flags": lib.TE_FIRST | lib.TE_LAST,
        "lane": LANE,
    }
    return RECORD.pack(*fields.values()) + number.to_bytes(8, "little") * (MESSAGE_BYTES // 8)


async def sleep_on(attachment: SidecarAttachment, wakes: int, seconds: float) -> bool:
    """Until the engine rings, at most so long; False: it did not."""
    channel = attachment.channel
    if channel.arm(wakes):
        return True
    rang = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(channel.fileno(), rang.set)
    try:
        async with asyncio.timeout(seconds):
            await rang.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(channel.fileno())
    channel.awake()
    return True


async def sink(path: Path) -> dict[str, Any]:
    """Takes messages until the last; says how many came, and how many out of order or changed."""
    attachment = await attach(path)
    print(json.dumps({"port": await attachment.listen(0)}), flush=True)
    taken = wrong = 0
    while True:
        for head, payload in attachment.channel.receive():
            if head[KIND] not in (lib.TE_REQUEST, lib.TE_END):
                continue
            wrong += head[CALL_ID] != taken
            wrong += payload != taken.to_bytes(8, "little") * (MESSAGE_BYTES // 8)
            taken += 1
            if head[KIND] == lib.TE_END:
                return {"taken": taken, "wrong": wrong}
        attachment.channel.ring()
        if not await sleep_on(attachment, READABLE, SINK_SECONDS_MAX):
            return {"taken": taken, "wrong": wrong, "last": False}


class Sender:
    """Sends numbered messages to a sink for as long as there is room."""

    def __init__(self, attachment: SidecarAttachment, flow: int) -> None:
        self.attachment = attachment
        self.sent = 0
        self._flow = flow

    @classmethod
    async def to(cls, path: Path, port: int) -> "Sender":
        """Opens a flow to the sink."""
        attachment = await attach(path)
        await attachment.connect(Endpoint(attachment.local.address, port), token=1)
        while True:
            for head, _ in attachment.channel.receive():
                assert head[KIND] == lib.TE_FLOW_OPENED
                return cls(attachment, head[FLOW])
            await sleep_on(attachment, READABLE, WAIT_SECONDS_MAX)

    async def send(self, count: int, *, patience_seconds: float) -> int:
        """Up to so many messages; fewer if there is no room for that long. Returns those sent."""
        first = self.sent
        channel = self.attachment.channel
        while self.sent < first + count:
            if channel.send(packed(self.sent, self._flow, lib.TE_REQUEST)):
                self.sent += 1
                continue
            channel.ring()
            assert channel.receive() == [], "the flow ended"
            if not await sleep_on(self.attachment, WRITABLE, patience_seconds):
                break
        channel.ring()
        return self.sent - first

    async def end(self) -> None:
        """The last message."""
        channel = self.attachment.channel
        while not channel.send(packed(self.sent, self._flow, lib.TE_END)):
            channel.ring()
            assert await sleep_on(self.attachment, WRITABLE, WAIT_SECONDS_MAX)
        self.sent += 1
        channel.ring()


def messages_in(stream: Running, seconds: float) -> float:
    """How many messages a second a stream guest moves now."""
    while stream.has_line():  # said before
        stream.line()
    began = said = stream.line()
    while said["seconds"] - began["seconds"] < seconds:
        said = stream.line()
    moved: float = (said["messages"] - began["messages"]) / (said["seconds"] - began["seconds"])
    return moved


async def figure(engine: Watched, rounds: int, seconds: float) -> dict[str, Any]:
    """A neighbour's throughput while an application is stopped under a sender, and while it is
    idle, in turns."""
    stream = Running([guest("stream"), str(engine.socket), str(STREAM_SECONDS)])
    sink_process = Running([*SINK, str(engine.socket)])
    sender = await Sender.to(engine.socket, sink_process.line()["port"])
    idle: list[float] = []
    stopped: list[float] = []
    await asyncio.to_thread(messages_in, stream, 2.0)
    for _ in range(rounds):
        idle.append(await asyncio.to_thread(messages_in, stream, seconds))
        stand_still(sink_process.pid)
        await sender.send(HELD, patience_seconds=5.0)
        stopped.append(await asyncio.to_thread(messages_in, stream, seconds))
        os.kill(sink_process.pid, signal.SIGCONT)
        await asyncio.sleep(3.0)  # all that was held up arrives
    await sender.end()
    said = await asyncio.to_thread(sink_process.line)
    sink_process.stop()
    stream.process.kill()
    stream.stop()
    await sender.attachment.close()
    share = statistics.median(stopped) / statistics.median(idle)
    return {
        "idle": [round(rate) for rate in idle],
        "stopped": [round(rate) for rate in stopped],
        "share": round(share, 4),
        "sent": sender.sent,
        **said,
    }


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["sink", "figure"])
    parser.add_argument("socket", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    if arguments.what == "sink":
        print(json.dumps(asyncio.run(sink(arguments.socket))), flush=True)
        return 0
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        watched_engine(Path(folder), is_sanitized=False, limits=LIMITS) as engine,
    ):
        found = asyncio.run(figure(engine, arguments.rounds, arguments.seconds))
    print(json.dumps(found | {"took_seconds": round(time.monotonic() - began)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
