# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import HealthCheck, settings

from hub.machine import AppletMachine, Progress

# Nothing here is a timed test: a slow or busy computer must not fail one.
settings.register_profile("meterlet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("meterlet")


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> AppletMachine:
    """The applet machine; built on a fresh computer, which takes some 20 s."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")

    def show(progress: Progress) -> None:
        if progress.done and reporter is not None:
            reporter.write_line(f"applet machine: {progress.step}, {progress.seconds:.1f} s")

    return AppletMachine.open(progress=show)
