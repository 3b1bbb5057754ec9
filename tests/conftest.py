"""Skips what this machine cannot run, and says so; fixtures stand where they are used."""

import gc
import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

ROOT_ONLY = ("dpdk", "netns")

# how long an example takes is the machine's affair, and others may keep it busy
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests that need root, where we are not."""
    if os.geteuid() == 0:
        return
    for item in items:
        for name in ROOT_ONLY:
            if item.get_closest_marker(name) is not None:
                item.add_marker(pytest.mark.skip(reason=f"{name}: needs root"))


def pytest_collection_finish() -> None:
    """What collecting made stays: no `gc.collect` of a test has to look at it again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, bool, bool]:
    """A server that was told to end leaves the next signal to the system: it would end us all."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    is_run = yield
    for number, handler in before.items():
        signal.signal(number, handler)
    return is_run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was logged of a lone surrogate could not be sent to the process that prints it."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report
