"""The tests of the flow core reach every line of it, and nearly every branch."""

import shutil

import pytest

from tests.c_builds import COVERED
from tests.flow_coverage import BRANCHES_MIN, LINES_MIN, measure


@pytest.mark.timeout(600)  # it builds the core twice
def test_flow_core_is_covered() -> None:
    missing = COVERED.lacks() or (None if shutil.which("gcov") else "gcov is not installed")
    if missing is not None:
        pytest.skip(missing)
    report = measure()
    assert report.line_share() >= LINES_MIN, str(report)
    assert report.branch_share() >= BRANCHES_MIN, str(report)
