"""The table of gRPC's features: what it claims has a test, and what it lacks a reason."""

import re

from tests.docs.named_tests import NAMED, missing_of
from tests.tidy.tree import ROOT

PAGE = (ROOT / "docs/grpc-features.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in re.findall(r"^\|.*\|$", PAGE, re.MULTILINE)
    if not re.match(r"\| gRPC \||\|---", row)
]


def test_every_named_test_exists() -> None:
    assert len(NAMED.findall(PAGE)) > 60
    missing = missing_of(PAGE)
    assert not missing, "\n".join(sorted(missing))


def test_every_row_says_whether() -> None:
    assert len(ROWS) > 60
    wrong = [row for row in ROWS if len(row) != 4 or not re.match(r"(yes|in part|no)\b", row[1])]
    assert not wrong


def test_what_is_claimed_names_a_test() -> None:
    bare = [row[0] for row in ROWS if not row[1].startswith("no") and not NAMED.search(row[3])]
    assert not bare


def test_what_is_left_out_says_why_or_what_instead() -> None:
    silent = [row[0] for row in ROWS if row[1] == "no" and row[2] == "–"]
    assert not silent
