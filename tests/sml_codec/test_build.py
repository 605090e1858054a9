# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import sml_codec.codec


def test_the_tests_run_on_the_build_that_was_asked_for() -> None:
    """`make compiled-tests` sets METERLET_COMPILED, and means it."""
    compiled = Path(str(sml_codec.codec.__file__)).suffix == ".so"
    assert compiled is (os.environ.get("METERLET_COMPILED") == "1")
