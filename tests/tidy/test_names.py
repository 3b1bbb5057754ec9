"""Words that say nothing are not names, and every module opens with what it is."""

import ast
import re
from collections.abc import Iterator

from tests.tidy import c_code, tree
from tests.tidy.tree import File

EMPTY_WORDS = {"manager", "helper", "util", "utility", "common", "misc"}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
C_NAME = re.compile(r"\b(?:struct|enum|union)\s+(\w+)")


def test_names_say_something() -> None:
    vague = [f"{file}: {name}" for file, name in _names() if EMPTY_WORDS & _words(name)]
    assert not vague, "\n".join(vague)


def _names() -> Iterator[tuple[File, str]]:
    for file in tree.matching(".py", ".c", ".h"):
        yield from ((file, part) for part in file.path.with_suffix("").parts)
        names = _python_names(file) if file.path.suffix == ".py" else _c_names(file)
        yield from ((file, name) for name in names)


def _python_names(file: File) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.text)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case _:
                pass


def _c_names(file: File) -> Iterator[str]:
    yield from (function.name for function in c_code.functions(file.text))
    yield from C_NAME.findall(c_code.without_comments(file.text))


def _words(name: str) -> set[str]:
    return {word.lower().removesuffix("s") for word in WORD.findall(name)}


def test_modules_open_with_what_they_are() -> None:
    silent = [str(file) for file in tree.matching(".py", ".c", ".h") if not _opens(file)]
    assert not silent, "\n".join(silent)


def _opens(file: File) -> bool:
    if file.path.suffix == ".py":
        return not file.text.strip() or bool(ast.get_docstring(ast.parse(file.text)))
    if file.text.startswith("/*"):
        return True
    header = file.path.with_suffix(".h")  # one concept: its header speaks for both
    return file.path.suffix == ".c" and any(other.path == header for other in tree.files())
