"""The page on observing names every counter of an engine, and no other."""

import re

from tests.tidy.tree import ROOT
from transport_engine.stats import FIELDS

PAGE = (ROOT / "docs/how-to/observe.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`.*?) \|", re.MULTILINE)


def test_every_counter_is_explained_once() -> None:
    firsts = "\n".join(ROW.findall(PAGE))
    beside = re.findall(r"`(quarantined_\w+)`", PAGE)  # in the row of their sum
    assert sorted([*re.findall(r"`(\w+)`", firsts), *beside]) == sorted(FIELDS)
