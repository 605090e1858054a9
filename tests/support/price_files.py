# SPDX-License-Identifier: Apache-2.0
"""Real prices."""

import gzip

from tests.support.shared import SHARED, require_shared


def price_file(name: str) -> str:
    with gzip.open(require_shared(SHARED / "data/prices" / f"{name}.csv.gz"), "rt") as file:
        return file.read()
