"""The C scanner itself, on what makes scanners err."""

import pytest

from tests.tidy.c_code import Function, enumerators, functions, without_comments

SOURCE = """\
/* int commented(int a) { } */
#define MACRO(x) \\
    do { (x)++; } while (0)
struct point { int x; };
static const char *const NAMES[] = {"}", "{ (", [2] = "\\""};
__attribute__((target("sse4.2"))) static int
first(int a, int (*visit)(int, int))
{
    if (a) { return '{'; } // }
    return visit(a, 1);
}
int declared(int a);
static inline void second(void) {
}
"""


def test_finds_definitions_and_nothing_else() -> None:
    assert list(functions(SOURCE)) == [
        Function("first", 2, line_first=6, line_last=11),
        Function("second", 0, line_first=13, line_last=14),
    ]


@pytest.mark.parametrize("text", ["a /* b\nc */ d", 'x = "/*"; y', "'\\''; // z\nw"])
def test_blanking_keeps_every_line_in_place(text: str) -> None:
    blanked = without_comments(text)
    assert len(blanked) == len(text)
    assert blanked.count("\n") == text.count("\n")


def test_comments_are_blanked_and_code_is_not() -> None:
    assert without_comments("a /* b */ c").split() == ["a", "c"]


def test_finds_enumerators_where_they_stand() -> None:
    text = "enum a_limit { ONE = 1, /* x = 2, */ TWO, THREE = 1 << 3 };\nenum { LAST = (ONE + 2) };"
    found = list(enumerators(text))
    assert [(each.enum, each.name, each.value) for each in found] == [
        ("a_limit", "ONE", "1"),
        ("a_limit", "THREE", "1 << 3"),
        ("", "LAST", "(ONE + 2)"),
    ]
    assert text[found[1].start : found[1].end] == "THREE = 1 << 3"
