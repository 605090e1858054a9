# SPDX-License-Identifier: Apache-2.0
import gc
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from hub.machine.machine import AppletMachine
from hub.machine.python_runtime import Progress
from tests.support.command import run_meterlet, stop_zygotes
from tests.support.postgresql import remove_usual_server
from tests.support.quick_program import stop_quick_program
from tests.support.soak import IS_SOAKING
from tests.support.town import remove_usual_town

if TYPE_CHECKING:
    from tests.support.hubs import Hub

# Nothing here is a timed test: a slow or busy computer must not fail one.
settings.register_profile(
    "meterlet",
    deadline=None,
    max_examples=200 if IS_SOAKING else 50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("meterlet")


def pytest_configure() -> None:
    # What a shell starts in the background ignores Ctrl-C, and so does all that it starts; but
    # tests end some commands by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless `make soak` is at work; the closing line counts it."""
    if not IS_SOAKING:
        long = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


def pytest_collection_finish() -> None:
    # Half a gigabyte of modules and cases stays to the end: the collector need not go over it.
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    stop_zygotes()
    stop_quick_program()
    remove_usual_town()
    remove_usual_server()


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> AppletMachine:
    """The applet machine; built on a fresh computer, which takes some 20 s."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")

    def show(progress: Progress) -> None:
        if progress.done and reporter is not None:
            reporter.write_line(f"applet machine: {progress.step}, {progress.seconds:.1f} s")

    return AppletMachine.open(progress=show)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> Path:
    """The demonstration's hub and utility after a month that was billed; to be copied, not used."""
    assert machine is not None  # built before the command would build it
    folder = tmp_path_factory.mktemp("demo") / "kept"
    done = run_meterlet("demo", "--keep", folder, "--json")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def demo_home(demo_folder: Path) -> Path:
    """The hub of the same."""
    return demo_folder / "hub"


@pytest.fixture(scope="session")
def closed_hubs(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> list["Hub"]:
    """Six hubs with the aggregation applet; to be copied (`tests.support.hubs.copies`)."""
    from tests.support.hubs import make_templates

    return make_templates(tmp_path_factory.mktemp("hubs"), 6, machine)


@pytest.fixture(scope="session")
def settled_hubs(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> list["Hub"]:
    """The same, with the applet that settles at prices."""
    from tests.support.hubs import make_settled

    return make_settled(tmp_path_factory.mktemp("settled-hubs"), 6, machine)


@pytest.fixture(scope="session")
def dialling_home(
    tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine
) -> tuple[Path, Any]:
    """The folder of a home that dials, and its enrolment; to be copied (`dialled`), not used."""
    from tests.support.dialled_home import make_dialling_home

    folder = tmp_path_factory.mktemp("dialling-home")
    return folder, make_dialling_home(folder, machine)
