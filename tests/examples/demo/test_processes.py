"""Children: what they say, how they end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from examples.demo import processes
from examples.demo.processes import Child, ChildError, Children

SAY = "import json, sys, time; print(json.dumps({'n': 1}), flush=True); time.sleep(60)"


def start(children: Children, program: str) -> Child:
    return children.start("child", [sys.executable, "-c", program])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_it_says_and_that_it_ends(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = start(children, SAY)
        assert child.said(timeout=20) == {"n": 1}
        assert child.cpu_seconds() >= 0
        children.check()
        with pytest.raises(ChildError, match="child said nothing for 0 s"):
            child.said(timeout=0.05)
    assert not is_alive(child.pid)


def test_last_words_of_one_that_fails(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = start(children, "import sys; sys.exit('no hugepages')")
        with pytest.raises(ChildError, match=r"(?s)child ended with status 1:.*no hugepages"):
            child.said(timeout=20)
        with pytest.raises(ChildError, match="child ended by itself"):
            children.check()


def test_what_is_not_json(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = start(children, "print('hello', flush=True)")
        with pytest.raises(ChildError, match=r"hello.*not JSON"):
            child.said(timeout=20)


def test_one_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    children = Children(tmp_path)
    child = start(children, f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SAY}")
    child.said(timeout=20)
    assert children.stop() == ["child"]
    assert not is_alive(child.pid)


def test_children_end_when_the_block_fails(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupted() -> None:
        with Children(tmp_path) as children:
            child = start(children, SAY)
            child.said(timeout=20)
            pids.append(child.pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not is_alive(pids[0])
