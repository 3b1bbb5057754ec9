"""What the page on errors quotes is said by the source, and why flows end is all there."""

import ast
import re

from machnet_rpc._reasons import _REASONS
from tests.tidy import tree
from tests.tidy.tree import ROOT

PAGE = (ROOT / "docs/how-to/troubleshoot.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `([^`]+)`", PAGE, re.MULTILINE)
C_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


def test_quotes_are_of_the_source() -> None:
    said = "\n".join(_said())
    assert len(QUOTED) > 30
    missing = [quote for quote in QUOTED if quote not in said]
    assert not missing, "\n".join(missing)


def _said() -> list[str]:
    """Every string of the source."""
    said: list[str] = []
    for package in ("machnet_rpc", "transport_engine", "idl"):
        for file in tree.matching(".py", under=package):
            nodes = ast.walk(ast.parse(file.text))
            said += [node.value for node in nodes if isinstance(node, ast.Constant)
                     and isinstance(node.value, str)]  # fmt: skip
        for file in tree.matching(".c", under=package):
            said += C_STRING.findall(file.text)
    return said


def test_every_end_of_a_flow_is_explained() -> None:
    missing = {sentence for sentence, _ in _REASONS.values()} - set(QUOTED)
    assert not missing
