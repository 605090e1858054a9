# SPDX-License-Identifier: Apache-2.0
import pytest

from hub.machine import AppletMachine, Progress


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> AppletMachine:
    """The applet machine; built on a fresh computer, which takes some 20 s."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")

    def show(progress: Progress) -> None:
        if progress.done and reporter is not None:
            reporter.write_line(f"applet machine: {progress.step}, {progress.seconds:.1f} s")

    return AppletMachine.open(progress=show)
