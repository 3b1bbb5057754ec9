"""A callback of an event loop that goes on after what a signal's handler raised as it began.

Such handlers run where a function begins, which cannot catch what they raise: a plain callback
would be lost. A generator that goes on can. Does not know what is done.
"""

from collections.abc import Callable, Generator


class Steady:
    """Takes a step each time that the loop calls `callback`. Thread: the loop's.

    `is_due`: whoever hands `callback` to the loop sets it, and each call ends it. `recover` is told
    of all that was raised, which goes on to the loop.
    """

    def __init__(self, step: Callable[[], None], recover: Callable[[], None]) -> None:
        self.is_due: bool = False
        self._step = step
        self._recover = recover
        self.callback: Callable[[], None] = self._begun()

    def __repr__(self) -> str:
        return f"<Steady {self._step!r} {'due' if self.is_due else 'idle'}>"

    def _begun(self) -> Callable[[], None]:
        steps = self._steps()
        next(steps)
        return steps.__next__

    def _steps(self) -> Generator[None]:
        try:
            while True:
                yield
                self.is_due = False
                self._step()
        except GeneratorExit:
            raise
        except BaseException:
            self.is_due = False
            self.callback = self._begun()
            self._recover()
            raise
