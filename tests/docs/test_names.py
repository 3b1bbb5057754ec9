"""Names of the packages that pages write out in full are there."""

import pkgutil
import re

from tests.tidy.tree import ROOT

NAME = re.compile(r"`((?:machnet_rpc|transport_engine|idl)(?:\.\w+)+)[`(]")
FILES = re.compile(r"\.(py|c|h|so)$")


def test_names_in_full_are_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in NAME.findall(page.read_text(encoding="utf-8"))}
    named = {name for name in named if not FILES.search(name)}
    assert len(named) > 5
    missing = []
    for name in sorted(named):
        try:
            pkgutil.resolve_name(name)
        except (AttributeError, ImportError):
            missing.append(name)
    assert not missing
