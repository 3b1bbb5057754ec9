"""Where a call stands in a distributed trace: what `traceparent` and `tracestate` say.

Any text gives a TraceContext or None, never an error. Does not know calls, and what records spans.
Source: W3C Recommendation "Trace Context" (level 1, 23 November 2021), §3.2 and §3.3
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from machnet_rpc._options import Metadata

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
MEMBERS_MAX: Final = 32
STATE_CHARACTERS_MAX: Final = 512  # of what is passed on: the least that a service should
LONG_MEMBER_CHARACTERS: Final = 128  # longer ones are the first to be left out
SAMPLED: Final = 1

_PARENT: Final = re.compile(
    r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_KEY: Final = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER: Final = re.compile(
    rf"({_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace: the trace, and the span that whatever follows is a child of.

    `tracestate` is what tracing systems passed along. Errors: ValueError for what cannot be sent.
    """

    trace_id: str  # 32 digits, hexadecimal
    parent_id: str  # 16 digits
    flags: int = 0
    tracestate: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.flags <= 0xFF or not _is_parent(_PARENT.fullmatch(self.traceparent)):
            raise ValueError(f"{self.traceparent!r} is no traceparent")
        if _members(self.tracestate) is None:
            raise ValueError(f"{self.tracestate!r} is no tracestate")

    @property
    def traceparent(self) -> str:
        """The header of that name."""
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags:02x}"

    @property
    def is_sampled(self) -> bool:
        """The caller may have recorded its part of the trace."""
        return bool(self.flags & SAMPLED)

    @classmethod
    def new(cls, *, sampled: bool = False) -> Self:
        """The begin of a trace, with ids drawn at random."""
        trace_id, parent_id = 0, 0
        while not (trace_id and parent_id):
            trace_id, parent_id = secrets.randbits(128), secrets.randbits(64)
        return cls(f"{trace_id:032x}", f"{parent_id:016x}", SAMPLED if sampled else 0)

    @classmethod
    def of(cls, metadata: Mapping[str, str | bytes] | None) -> Self | None:
        """What metadata, or headers by their names in small letters, say; None: nothing valid.

        A `tracestate` that is not valid is left out alone.
        """
        header = metadata.get(TRACEPARENT) if metadata else None
        if metadata is None or not isinstance(header, str):
            return None
        match = _PARENT.fullmatch(header)
        if match is None or not _is_parent(match):
            return None
        version, trace_id, parent_id, flags, _ = match.groups()
        state = metadata.get(TRACESTATE)
        members = _members(state) if isinstance(state, str) else None
        # Of the flags of a later version only this one is known to mean the same.
        bits = int(flags, 16) & (0xFF if version == "00" else SAMPLED)
        return cls(trace_id, parent_id, bits, ",".join(members or ()))

    def as_metadata(self) -> Metadata:
        """What is sent; of a long `tracestate` only whole members, as many as fit."""
        sent: Metadata = {TRACEPARENT: self.traceparent}
        state = _shortened(self.tracestate)
        if state:
            sent[TRACESTATE] = state
        return sent


def _is_parent(match: re.Match[str] | None) -> bool:
    """Whether what looks like a `traceparent` is one."""
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5] is not None):
        return False
    return match[2].strip("0") != "" and match[3].strip("0") != ""


def _members(state: str) -> list[str] | None:
    """Those of a `tracestate`, without white space around them; None if it is not valid."""
    members = [each.strip(" \t") for each in state.split(",")]
    if len(members) > MEMBERS_MAX:
        return None
    members = [each for each in members if each]
    matches = [_MEMBER.fullmatch(each) for each in members]
    keys = {match[1] for match in matches if match is not None}
    return members if len(keys) == len(members) else None


def _shortened(state: str) -> str:
    """As much of a valid `tracestate` as is passed on, by whole members (§3.3.1.5)."""
    members = _members(state) or []
    longs = [each for each in members if len(each) > LONG_MEMBER_CHARACTERS]
    while len(",".join(members)) > STATE_CHARACTERS_MAX:
        members.remove(longs.pop() if longs else members[-1])
    return ",".join(members)
