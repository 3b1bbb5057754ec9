"""Sizes: of files, functions, parameter lists and lines."""

import ast
from collections.abc import Iterator

from tests.tidy import c_code, ratchet, tree
from tests.tidy.ratchet import Excess

FILE_LINES_MAX = 400
COORDINATOR_LINES_MAX = 600
COORDINATORS = {"connection.py", "flow.c"}
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 6
WIDTH_MAX = 100
SOURCES = (".py", ".c", ".h")


def test_files_are_short() -> None:
    ratchet.check("file", _long_files())


def _long_files() -> Iterator[Excess]:
    for file in tree.matching(*SOURCES):
        limit = COORDINATOR_LINES_MAX if file.path.name in COORDINATORS else FILE_LINES_MAX
        if len(file.lines) > limit:
            yield Excess("file", str(file), "-", len(file.lines), limit)


def test_functions_are_short() -> None:
    ratchet.check("function", _long_functions())


def _long_functions() -> Iterator[Excess]:
    for path, name, lines, _ in _functions():
        if lines > FUNCTION_LINES_MAX:
            yield Excess("function", path, name, lines, FUNCTION_LINES_MAX)


def test_functions_take_few_parameters() -> None:
    ratchet.check("parameters", _many_parameters())


def _many_parameters() -> Iterator[Excess]:
    for path, name, _, parameters in _functions():
        if parameters > PARAMETERS_MAX:
            yield Excess("parameters", path, name, parameters, PARAMETERS_MAX)


def test_lines_fit() -> None:
    ratchet.check("width", _wide_lines())


def _wide_lines() -> Iterator[Excess]:
    for file in tree.matching(*SOURCES, ".toml", ".pyi", ".build"):
        for number, line in enumerate(file.lines, 1):
            if len(line) > WIDTH_MAX:
                yield Excess("width", str(file), str(number), len(line), WIDTH_MAX)


def _functions() -> Iterator[tuple[str, str, int, int]]:
    """Path, name, lines and parameters of every function in C and Python."""
    for file in tree.matching(".c", ".h"):
        for function in c_code.functions(file.text):
            yield str(file), function.name, function.lines, function.parameters
    for file in tree.matching(".py"):
        for node in ast.walk(ast.parse(file.text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                yield str(file), node.name, lines, _positional(node.args)


def _positional(arguments: ast.arguments) -> int:
    names = [argument.arg for argument in arguments.posonlyargs + arguments.args]
    return len(names) - (names[:1] in (["self"], ["cls"]))
