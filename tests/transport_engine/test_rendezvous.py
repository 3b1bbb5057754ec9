"""The socket, its lock and their folder: one holder, nothing stale, nothing left."""

import os
import resource
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from transport_engine import ConfigError, NoEngineError
from transport_engine.rendezvous import Rendezvous

DIE_WITHOUT_CLEANING = """
import os, sys
from pathlib import Path
from transport_engine.rendezvous import Rendezvous
place = Rendezvous(Path(sys.argv[1]))
os.kill(os.getpid(), 9)
"""


def test_folder_and_socket_are_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "machnet" / "engine.sock"
    with Rendezvous(path):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.with_name("engine.sock.lock").read_text() == f"{os.getpid()}\n"
    assert list(path.parent.iterdir()) == []


def test_a_daemon_without_umask_lets_nobody_else_rename_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "machnet" / "engine.sock"
    before = os.umask(0)
    try:
        with Rendezvous(path):
            modes = [stat.S_IMODE(each.stat().st_mode) for each in path.parents[:3]]
    finally:
        os.umask(before)
    assert modes == [0o750, 0o755, 0o755]


def fail_at(path: Path, beside: str | None = None) -> None:
    """Takes the place, and has something go wrong there; another may use its folder."""
    with Rendezvous(path):
        if beside is not None:
            (path.parent / beside).touch()
        raise ZeroDivisionError


def test_who_fails_leaves_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "machnet" / "engine.sock"
    with pytest.raises(ZeroDivisionError):
        fail_at(path)
    with pytest.raises(ConfigError, match="too long"):
        Rendezvous(path.with_name("x" * 150))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with pytest.raises(ZeroDivisionError):
        fail_at(path, "another")
    assert list(path.parent.iterdir()) == [path.parent / "another"]


def test_second_holder_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with Rendezvous(path):
        with pytest.raises(NoEngineError, match=f"process {os.getpid()} serves {path}"):
            Rendezvous(path)
        assert path.exists()
    with Rendezvous(path):
        pass


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        try:
            client.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True


def test_who_lost_its_lock_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with Rendezvous(path):
        path.with_name("engine.sock.lock").unlink()  # as what tidies /tmp does
        with pytest.raises(NoEngineError, match=f"somebody serves {path}, and its lock was"):
            Rendezvous(path)
        assert connects(path)


def test_who_lost_lock_and_socket_removes_nothing_of_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with Rendezvous(path) as first:
        path.unlink()
        with pytest.raises(NoEngineError, match="which was removed: end it first"):
            Rendezvous(path)
        path.with_name("engine.sock.lock").unlink()
        with Rendezvous(path):
            first.close()
            assert connects(path)
            with pytest.raises(NoEngineError, match=f"process {os.getpid()} serves"):
                Rendezvous(path)
    assert list(tmp_path.iterdir()) == []


def test_lock_without_room_to_sign_it_is_named_and_not_left(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(ConfigError, match=r"engine\.sock\.lock cannot be written: File too"):
            Rendezvous(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_holder_left_is_cleaned_up(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    subprocess.run([sys.executable, "-c", DIE_WITHOUT_CLEANING, str(path)], check=False)
    assert path.exists()
    with Rendezvous(path):
        assert connects(path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="exists and is not a socket"):
        Rendezvous(path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_in_which_anybody_may_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="mode 777: others could put a socket"):
        Rendezvous(folder / "engine.sock")
    folder.chmod(0o1777)  # sticky: others cannot replace it
    with Rendezvous(folder / "engine.sock"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        Rendezvous(folder / "engine.sock")


def test_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "engine.sock.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="cannot be made"):
        Rendezvous(tmp_path / "engine.sock")
    assert not (tmp_path / "elsewhere").exists()


def test_path_too_long_for_a_socket(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        Rendezvous(tmp_path / ("x" * 120))
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="not a folder"):
        Rendezvous(tmp_path / "file" / "engine.sock")
