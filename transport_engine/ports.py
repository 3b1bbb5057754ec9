"""Sets of UDP ports, as a policy writes them: 7000, "7000-7099", or the name of a service.

A service is its port (docs/adr/0001-udp-port-is-service-port.md), so names are only short for
numbers. Knows no tenants.
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from transport_engine.endpoint import PORT_MAX
from transport_engine.errors import PortInUseError

NAME: Final = r"[a-z][a-z0-9_-]{0,31}"
WORD: Final = rf"^([0-9]{{1,5}}(-[0-9]{{1,5}})?|{NAME})$"
FREE_PORT_FIRST: Final = 49152  # the dynamic ports of RFC 6335 §6
FREE_PORT_LAST: Final = PORT_MAX
FREE_PORT_TRIES_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Ports:
    """Ranges of ports, none of them empty."""

    ranges: tuple[range, ...] = ()

    @classmethod
    def parse(cls, words: Iterable[str], services: Mapping[str, "Ports"]) -> "Ports":
        """Reads words that match WORD.

        Errors: ValueError, a sentence about the word.
        """
        ranges: list[range] = []
        for word in words:
            if re.fullmatch(NAME, word):
                if word not in services:
                    raise ValueError(f'"{word}" is no name in [services]')
                ranges += services[word].ranges
                continue
            low, _, high = word.partition("-")
            first, last = int(low), int(high or low)
            if not 1 <= first <= last <= PORT_MAX:
                raise ValueError(f'"{word}" is not within 1-{PORT_MAX}, the lower port first')
            ranges.append(range(first, last + 1))
        return cls(tuple(ranges))

    def __contains__(self, port: int) -> bool:
        return any(port in ports for ports in self.ranges)

    def __str__(self) -> str:
        words = [
            f"{ports[0]}-{ports[-1]}" if len(ports) > 1 else str(ports[0]) for ports in self.ranges
        ]
        return ", ".join(words) or "empty"

    def some(self, count: int) -> list[int]:
        """Up to `count` of them in random order: dynamic ones if there are any."""
        dynamic = [_within(ports, FREE_PORT_FIRST, FREE_PORT_LAST) for ports in self.ranges]
        ranges = [ports for ports in dynamic if ports] or self.ranges
        chosen = {port for ports in ranges for port in random.sample(ports, min(count, len(ports)))}
        return random.sample(sorted(chosen), min(count, len(chosen)))


def listen_on(port: int, among: Ports, listen: Callable[[int], int]) -> int:
    """Listens on a port, 0: on one of `among` that is not in use; returns what `listen` does.

    Errors: PortInUseError, and those of `listen`.
    """
    if port != 0:
        return listen(port)
    for free in among.some(FREE_PORT_TRIES_MAX):
        try:
            return listen(free)
        except PortInUseError:
            continue
    raise PortInUseError(f"the ports that were tried of {among} are all in use")


NONE: Final = Ports()
ALL: Final = Ports((range(1, PORT_MAX + 1),))


def _within(ports: range, first: int, last: int) -> range:
    return range(max(ports.start, first), min(ports.stop, last + 1))
