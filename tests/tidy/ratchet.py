"""Known exceptions to the house style, in ratchet.txt; the list only shrinks.

A line is `rule path name figure`. The figure must be the present one: who makes it better lowers
or deletes the line, who makes it worse is told so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "ratchet.txt"


@dataclass(frozen=True, slots=True)
class Excess:
    """A figure above its limit."""

    rule: str
    path: str
    name: str
    figure: int
    limit: int

    @property
    def line(self) -> str:
        """As it would stand in ratchet.txt."""
        return f"{self.rule} {self.path} {self.name} {self.figure}"


def check(rule: str, found: Iterable[Excess]) -> None:
    """Fails for an excess that is not on record, and for a record that is no longer true."""
    recorded = {line for line in recorded_lines() if line.split()[0] == rule}
    excesses = {excess.line: excess for excess in found}
    new = [f"{line} (limit {excesses[line].limit})" for line in sorted(excesses.keys() - recorded)]
    stale = sorted(recorded - excesses.keys())
    assert not new, "above the limit:\n" + "\n".join(new)
    assert not stale, f"no longer so, delete from {FILE.name}:\n" + "\n".join(stale)


def recorded_lines() -> list[str]:
    """The exceptions on record."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
