"""Every test that the security page names exists, and every threat names one."""

import re

from tests.docs.named_tests import NAMED, missing_of
from tests.tidy.tree import ROOT

PAGE = ROOT / "docs/security.md"
ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)


def test_every_named_test_exists() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(NAMED.findall(page)) > 40
    missing = missing_of(page)
    assert not missing, "\n".join(sorted(missing))


def test_every_threat_names_a_test() -> None:
    _, _, threats = PAGE.read_text(encoding="utf-8").partition("## A tenant")
    rows = [row for row in ROW.findall(threats) if not row.endswith("| tests")]
    assert len(rows) > 20
    bare = [row for row in rows if not NAMED.search(row)]
    assert not bare, "\n".join(bare)
