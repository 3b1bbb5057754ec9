"""Where files in memory can be, for tests of what stands in such files."""

from pathlib import Path
from typing import Final

import pytest

SHM: Final = Path("/dev/shm")
needs_shm: Final = pytest.mark.skipif(
    not SHM.is_mount(), reason="/dev/shm is no file system in memory"
)
