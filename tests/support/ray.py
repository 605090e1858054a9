# SPDX-License-Identifier: Apache-2.0
"""Ray, where it is installed: it is large, and no part of what is installed for tests."""

from importlib.util import find_spec

import pytest

from utility_server.fan_out import FanOut, OnRay


def on_ray() -> FanOut:
    """Return Ray, or skip the test loudly."""
    found = find_spec("ray")
    if found is None or found.origin is None:  # or only a folder has that name
        pytest.skip("RAY IS NOT INSTALLED: pip install ray, and run this test again")
    return OnRay()
