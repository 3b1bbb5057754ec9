"""What a server remembers of keyed calls: those that run, and the replies of those that ended.

Bounded by replies, bytes and time. It knows how far back it reaches, so that a call that may have
been forgotten can be refused instead of executed again. Time is an argument.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

from machnet_rpc._replies import Reply

ENTRY_BYTES: Final = 512  # what an entry takes besides its key and its payload, roughly


class Entry:
    """One key: its call runs, or has ended with a reply.

    Owner: `task` and `waiters` (the calls that want the reply) are those of the shell.
    """

    __slots__ = ("_ended_ns", "digest", "is_taken", "key", "reply", "task", "waiters")

    def __init__(self, key: str, digest: bytes) -> None:
        self.key = key
        self.digest = digest
        self.reply: Reply | None = None
        self.is_taken = False  # the handler stores the reply itself
        self.task: Any = None
        self.waiters: list[Any] = []
        self._ended_ns = 0

    def __repr__(self) -> str:
        state = "running" if self.reply is None else f"ended with status {self.reply.status}"
        return f"<Entry {self.key} {state} waiters={len(self.waiters)}>"

    @property
    def ended_ns(self) -> int:
        return self._ended_ns

    @property
    def size_bytes(self) -> int:
        payload = 0 if self.reply is None else len(self.reply.payload)
        return ENTRY_BYTES + len(self.key) + payload

    def end(self, reply: Reply, now_ns: int) -> None:
        """It ended, and is answered alike from now on."""
        self.reply, self._ended_ns = reply, now_ns


class ReplyTable:
    """All keys of one server. Units: nanoseconds on any one clock.

    `remembers_ns` is the instant since when no call was forgotten; calls that may have been sent
    before it are not known to be new.
    """

    def __init__(self, replies_max: int, bytes_max: int, keep_ns: int, now_ns: int) -> None:
        self.remembers_ns = now_ns  # what ran before is unknown
        self._replies_max = replies_max
        self._bytes_max = bytes_max
        self._keep_ns = keep_ns
        self._bytes = 0
        self._running: dict[str, Entry] = {}
        self._ended: OrderedDict[str, Entry] = OrderedDict()  # the first that ended first

    def __repr__(self) -> str:
        return (
            f"<ReplyTable running={len(self._running)} ended={len(self._ended)} "
            f"bytes={self._bytes}>"
        )

    def __len__(self) -> int:
        return len(self._running) + len(self._ended)

    @property
    def size_bytes(self) -> int:
        """Of the replies that are kept."""
        return self._bytes

    def running(self) -> Iterator[Entry]:
        return iter(tuple(self._running.values()))

    def find(self, key: str, now_ns: int) -> Entry | None:
        """The entry of a key, if it is remembered."""
        self._expire(now_ns)
        return self._running.get(key) or self._ended.get(key)

    def begin(self, key: str, digest: bytes) -> Entry:
        """An entry for a key that has none; its call runs."""
        entry = self._running[key] = Entry(key, digest)
        return entry

    def end(self, entry: Entry, reply: Reply, now_ns: int) -> None:
        """Keeps the reply, and forgets the oldest where there are too many."""
        del self._running[entry.key]
        entry.end(reply, now_ns)
        self._ended[entry.key] = entry
        self._bytes += entry.size_bytes
        while self._ended and (
            len(self._ended) > self._replies_max or self._bytes > self._bytes_max
        ):
            self._forget_oldest()

    def drop(self, entry: Entry) -> None:
        """A call that did nothing, or of which others keep the reply: the key is new again."""
        self._running.pop(entry.key, None)

    def _expire(self, now_ns: int) -> None:
        oldest_ns = now_ns - self._keep_ns
        while self._ended and next(iter(self._ended.values())).ended_ns < oldest_ns:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, entry = self._ended.popitem(last=False)
        self._bytes -= entry.size_bytes
        self.remembers_ns = max(self.remembers_ns, entry.ended_ns + 1)
