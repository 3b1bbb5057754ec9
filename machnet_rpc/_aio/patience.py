"""For how long a port without traffic is kept awake: less, once that was mostly in vain."""

from typing import Final

from machnet_rpc._native import crossing

SHORT_NS: Final = 20_000  # about what it costs to sleep and to be woken
BALANCE_MAX: Final = 4  # so soon it is learnt that pauses have become longer, or shorter
HOT_MOVES: Final = 8  # without sleep between them: more than a call and its answer
SHORTER: Final = 2  # what a pause weighs that was short; a longer one weighs 1


def is_contended() -> bool:
    """Whether others are busy on this thread's processor: then it is better to sleep at once."""
    return crossing is not None and bool(crossing.is_contended())


class Patience:
    """Of one port. Learns from the pauses in which it slept: in all others it was right to stay.

    Units: nanoseconds on the clock of whoever calls.
    """

    __slots__ = ("_balance", "_has_slept", "_moved_ns", "_moves", "_spin_ns")

    def __init__(self, spin_ns: int) -> None:
        """`spin_ns`: the longest that it stays."""
        self._spin_ns = spin_ns
        self._balance = 0  # above it, most pauses were longer than `spin_ns`
        self._has_slept = False
        self._moved_ns = 0
        self._moves = 0  # since it slept

    def moved(self, now_ns: int) -> None:
        """Something was taken or sent: a pause is over."""
        if self._has_slept:
            self._has_slept = False
            step = 1 if now_ns - self._moved_ns >= self._spin_ns else -SHORTER
            self._balance = min(max(self._balance + step, -BALANCE_MAX), BALANCE_MAX)
        self._moved_ns = now_ns
        self._moves += 1

    @property
    def is_short(self) -> bool:
        """Whether most pauses were too long to stay awake, and there is not much traffic now."""
        return self._balance > 0 and self._moves < HOT_MOVES

    def slept(self) -> None:
        """The pause was too long to stay awake."""
        self._has_slept = True
        self._moves = 0

    def is_over(self, now_ns: int, is_awaited: bool) -> bool:
        """Whether to sleep, where nothing moves.

        `is_awaited`: something is known to be on its way, as the answer to a call is.
        """
        stay_ns = self._spin_ns
        if self.is_short and not is_awaited:
            stay_ns = min(stay_ns, SHORT_NS)
        return now_ns - self._moved_ns >= stay_ns
