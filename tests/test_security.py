"""Every test that the security page names exists, and every threat names one."""

import ast
import re

from tests.tidy.tree import ROOT

PAGE = ROOT / "docs/security.md"
NAMED = re.compile(r"`(tests/[\w/]+\.(?:py|c))::(\w+)`")
ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)


def names_in(path: str) -> set[str]:
    """The names of a file's tests, or of its functions in C."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".c"):
        return set(re.findall(r"^static void (\w+)\(void \*\*state\)", text, re.MULTILINE))
    nodes = ast.walk(ast.parse(text))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in nodes if isinstance(node, kinds)}
    return {name for name in names if name.startswith("test_")}


def test_every_named_test_exists() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > 40
    missing = {f"{path}::{name}" for path, name in named if name not in names_in(path)}
    assert not missing, "\n".join(sorted(missing))


def test_every_threat_names_a_test() -> None:
    _, _, threats = PAGE.read_text(encoding="utf-8").partition("## A tenant")
    rows = [row for row in ROW.findall(threats) if not row.endswith("| tests")]
    assert len(rows) > 20
    bare = [row for row in rows if not NAMED.search(row)]
    assert not bare, "\n".join(bare)
