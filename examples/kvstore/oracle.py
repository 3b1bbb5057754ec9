"""Says whether what a store answered could be right, from the client's side, while calls overlap.

For each key it keeps the values that a single copy could hold now: a write that ended rules out all
that had ended before it began. It never accuses a correct store; a wrong answer that some order of
the overlapping calls would excuse goes unnoticed.

Pure: knows neither store nor wire. Values are kept as 64-bit hashes.
Source: M. Herlihy and J. Wing, "Linearizability", TOPLAS 1990, for one register.
"""

from __future__ import annotations


class Write:
    """A write under way, or one whose value may still be there."""

    __slots__ = ("ended", "may_create", "may_replace", "overwrites", "value")

    def __init__(self, value: int | None, before: list[Write]) -> None:
        self.value = value
        self.ended: bool = False
        self.overwrites = [other for other in before if other.ended]
        self.may_create = self.may_replace = False
        for other in before:
            self.meets(other.value)

    def meets(self, value: int | None) -> None:
        """`value` may be what it finds."""
        self.may_create = self.may_create or value is None
        self.may_replace = self.may_replace or value is not None


class Reading:
    """A read under way and the values that it may see."""

    __slots__ = ("allowed", "history")

    def __init__(self, history: _History) -> None:
        self.history = history
        self.allowed = {write.value for write in history.writes}


class _History:
    __slots__ = ("readings", "writes")

    def __init__(self) -> None:
        absent = Write(None, [])
        absent.ended = True
        self.writes: list[Write] = [absent]
        self.readings: list[Reading] = []


class Oracle:
    """Tell it when calls begin and end; `wrong` counts the answers that cannot be."""

    def __init__(self) -> None:
        self.answers = 0
        self.wrong = 0
        self._histories: dict[bytes, _History] = {}

    def __len__(self) -> int:
        return len(self._histories)

    def known_keys(self) -> list[bytes]:
        """All keys that were read or written."""
        return list(self._histories)

    def write_begins(self, key: bytes, value: bytes | None) -> Write:
        """A put is about to be sent, or (None) a delete."""
        history = self._history(key)
        hashed = None if value is None else hash(value)
        write = Write(hashed, history.writes)
        for other in history.writes:
            other.meets(hashed)
        history.writes.append(write)
        for reading in history.readings:
            reading.allowed.add(hashed)
        return write

    def write_ended(self, key: bytes, write: Write, *, created: bool) -> bool:
        """It was acknowledged; False if there cannot have been nothing (`created`) or something.

        One that failed is not reported, as it may happen at any time.
        """
        history = self._histories[key]
        gone = set(map(id, write.overwrites))
        history.writes = [other for other in history.writes if id(other) not in gone]
        write.ended = True
        write.overwrites = []
        return self._judged(write.may_create if created else write.may_replace)

    def read_begins(self, key: bytes) -> Reading:
        """A get is about to be sent."""
        history = self._history(key)
        reading = Reading(history)
        history.readings.append(reading)
        return reading

    def read_ended(self, reading: Reading, value: bytes | None) -> bool:
        """It answered `value`; False if that cannot be."""
        self.read_failed(reading)
        return self._judged((None if value is None else hash(value)) in reading.allowed)

    def read_failed(self, reading: Reading) -> None:
        """It ended without an answer."""
        reading.history.readings.remove(reading)

    def _judged(self, right: bool) -> bool:
        self.answers += 1
        self.wrong += not right
        return right

    def _history(self, key: bytes) -> _History:
        history = self._histories.get(key)
        if history is None:
            history = self._histories[key] = _History()
        return history
