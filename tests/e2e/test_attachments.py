"""Applications that come and go, half of them killed, leave nothing behind in the engine."""

from dataclasses import replace
from pathlib import Path

from tests.e2e.attachments import come_and_go
from tests.e2e.guests import watched_engine

TIMES = 400
RESIDENT_KIB_MAX = 1024  # what allocators may keep; a channel alone is 320 KiB


def test_four_hundred_applications_leave_nothing_behind(tmp_path: Path) -> None:
    with watched_engine(tmp_path, is_sanitized=False) as engine:
        before, after = come_and_go(engine, TIMES)
    assert after.resident_kib - before.resident_kib <= RESIDENT_KIB_MAX
    assert replace(after, resident_kib=before.resident_kib) == before
