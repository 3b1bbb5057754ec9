"""Reads C as far as the house style needs: code without comments, and its function definitions.

Exact for code as we write it: definitions at file level, prototypes with named parameters, no
K&R style. Does not expand macros, and does not know types.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

NOT_CODE = re.compile(
    r"""
    /\*.*?\*/                               # comment
    | //[^\n]*
    | "(?:\\.|[^"\\\n])*"                   # string
    | '(?:\\.|[^'\\\n])*'                   # character
    """,
    re.DOTALL | re.VERBOSE,
)
DIRECTIVE = re.compile(r"^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
NAME = re.compile(r"(\w+)\s*$")
ENUM = re.compile(r"\benum(?:\s+(\w+))?\s*\{([^}]*)\}")
ENUMERATOR = re.compile(r"(\w+)\s*=\s*([^,]*[^,\s])")


@dataclass(frozen=True, slots=True)
class Function:
    """A function definition; lines count from 1 and include the signature and the brace."""

    name: str
    parameters: int
    line_first: int
    line_last: int

    @property
    def lines(self) -> int:
        """How many lines it takes."""
        return self.line_last - self.line_first + 1


@dataclass(frozen=True, slots=True)
class Enumerator:
    """A name that an enum gives a value to; `start` and `end` are its place in the text."""

    enum: str  # "" if it has no name
    name: str
    value: str  # the expression
    start: int
    end: int


def without_comments(text: str) -> str:
    """The text with comments and the insides of literals blanked; every line stays in place."""
    return NOT_CODE.sub(lambda found: _blank(found.group()), text)


def functions(text: str) -> Iterator[Function]:
    """The function definitions of a C file, in order."""
    code = DIRECTIVE.sub(lambda found: _blank(found.group()), without_comments(text))
    depth = 0
    start = 0  # of the declaration that is being read
    pending: tuple[str, int, int] | None = None  # name, parameters, first line
    for at, char in enumerate(code):
        if char == "{":
            if depth == 0:
                pending = _signature(code, start, at)
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                if pending is not None:
                    name, parameters, line = pending
                    yield Function(name, parameters, line, _line(code, at))
                start = at + 1
        elif char == ";" and depth == 0:
            start = at + 1


def enumerators(text: str) -> Iterator[Enumerator]:
    """The enumerators with a value of their own, in order."""
    code = without_comments(text)
    for enum in ENUM.finditer(code):
        for found in ENUMERATOR.finditer(code, enum.start(2), enum.end(2)):
            name, value = found.groups()
            yield Enumerator(enum[1] or "", name, value, found.start(), found.end())


def _signature(code: str, start: int, end: int) -> tuple[str, int, int] | None:
    head = code[start:end].rstrip()
    if not head.endswith(")") or "=" in head:
        return None
    open_at = _matching_open(head)
    named = NAME.search(head[:open_at])
    if named is None:
        return None
    first = start + len(head) - len(head.lstrip())
    return named.group(1), _parameters(head[open_at + 1 : -1]), _line(code, first)


def _matching_open(head: str) -> int:
    depth = 0
    for at in range(len(head) - 1, -1, -1):
        depth += (head[at] == ")") - (head[at] == "(")
        if depth == 0:
            return at
    return 0


def _parameters(inside: str) -> int:
    if inside.strip() in ("", "void"):
        return 0
    depth = 0
    commas = 0
    for char in inside:
        depth += (char == "(") - (char == ")")
        commas += char == "," and depth == 0
    return commas + 1


def _line(code: str, at: int) -> int:
    return code.count("\n", 0, at) + 1


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
