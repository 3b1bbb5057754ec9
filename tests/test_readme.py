"""The README's example runs as it stands there, and its Makefile targets exist."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TIMEOUT_S = 30.0


EXAMPLE, BLOCKING = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
SERVER = """
import threading

addresses = []
is_serving = threading.Event()

async def run():
    async with serve(English(), "127.0.0.1:0") as server:
        addresses.append(server.address)
        is_serving.set()
        await asyncio.sleep(60)

threading.Thread(target=asyncio.run, args=[run()], daemon=True).start()
is_serving.wait()
"""


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "example.py"
    path.write_text(program, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def test_blocking_example_runs(tmp_path: Path) -> None:
    calls = BLOCKING.replace('"127.0.0.1:7000"', "addresses[0]")
    program = EXAMPLE.replace("asyncio.run(main())", SERVER) + calls
    done = run(program, tmp_path)
    assert done.stdout == "Hello, world! Hello, again!\n", done.stderr


def test_example_runs(tmp_path: Path) -> None:
    done = run(EXAMPLE, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Hello, world!\nby way of ")
    assert done.stderr == ""


def test_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    (rest,) = re.findall(r"`make` lists the rest: (.*?)\.$", README, re.MULTILINE)
    for target in named | set(re.findall(r"`(\w+)`", rest)):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), target
