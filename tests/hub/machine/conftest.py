# SPDX-License-Identifier: Apache-2.0
"""One machine for all tests; it is built once and then comes out of the cache."""

import pytest

from hub.machine import AppletMachine


@pytest.fixture(scope="session")
def machine() -> AppletMachine:
    return AppletMachine.open()
