"""The examples in the documentation of this package run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_streams(tmp_path: Path) -> None:
    page = (DOCS / "streams.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    program = tmp_path / "example.py"
    program.write_text(example, encoding="utf-8")
    argv = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(
        argv, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = set(done.stdout.splitlines())
    assert lines == {"1000 rows", "nobody watches key 99", "7", "touched key 1"}
