"""Tests that a page names as `file::test` or `file::test[case]`, and whether they exist."""

import ast
import re

from tests.tidy.tree import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.(?:py|c))::(\w+)(?:\[(\w+)\])?`")


def missing_of(page: str) -> set[str]:
    """What a page names and nobody has."""
    missing: set[str] = set()
    for path, name, case in NAMED.findall(page):
        names, cases = names_in(path)
        if name not in names or (case and case not in cases):
            missing.add(f"{path}::{name}{case and f'[{case}]'}")
    return missing


def names_in(path: str) -> tuple[set[str], set[str]]:
    """The names of a file's tests, or of its functions in C; and of what may be a case of one."""
    if not (ROOT / path).is_file():
        return set(), set()
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".c"):
        return set(re.findall(r"^static void (\w+)\(void \*\*state\)", text, re.MULTILINE)), set()
    nodes = ast.walk(ast.parse(text))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in nodes if isinstance(node, kinds)}
    return {name for name in names if name.startswith("test_")}, names
