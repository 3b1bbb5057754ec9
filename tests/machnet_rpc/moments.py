"""What a signal's handler raises as any function begins, which is where such handlers run."""

import sys
from types import FrameType

MOMENTS_MAX = 2000
REPEATS_MAX = 50


class Alarm(Exception):
    """What a handler of SIGALRM raises, to end what takes too long."""


class Moments:
    """A later one each time: raises `Alarm` as that function begins, of those of a folder.

    What failed before its moment came, as it may on a busy machine, does not count. It has no
    generator, which could be left half-way, and stop what is looked at later.
    """

    def __init__(self, folder: str = "", step: int = 1) -> None:
        """`step`: from one moment to the next, where there are many."""
        self.at = 0
        self._step = step
        self._folder = folder
        self._left = 0
        self._repeats = 0

    @property
    def is_over(self) -> bool:
        """The last one was not met, or there are more than can be."""
        return self._left > 0 or self.at >= MOMENTS_MAX

    def __enter__(self) -> None:
        self.at = self._left = self.at + self._step
        sys.setprofile(self)

    def __exit__(self, raised: object, *_: object) -> None:
        sys.setprofile(None)
        if raised is not None and self._left > 0 and self._repeats < REPEATS_MAX:
            self._repeats += 1
            self.at -= self._step
            self._left = 0

    def __call__(self, frame: FrameType, event: str, given: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(self._folder):
            self._left -= 1
            if self._left == 0:
                raise Alarm
