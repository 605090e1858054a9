# SPDX-License-Identifier: Apache-2.0
"""Files that processes change at the same moment: no change is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import crowd
from utility_server.errors import StoreError
from utility_server.folders import alone_in
from utility_server.grid.authority import Authority
from utility_server.retail.limits import BillLimits
from utility_server.retail.utility import Utility


def test_limits_that_are_stated_at_once_are_both_kept(tmp_path: Path) -> None:
    Utility.create(tmp_path / "utility").close()
    state = "utility", "limits", "--utility", str(tmp_path / "utility")
    for number in (60, 70, 80):
        energy = (*state, "--unattributed-wh-per-day", str(number))
        share = (*state, "--estimated-permille", str(number))
        told = crowd.at_once(crowd.command, [energy, share])
        assert [code for code, _ in told] == [0, 0]
        assert BillLimits.read(tmp_path / "utility") == BillLimits(number, number)


def revoke(ready: Callable[[], object], folder: Path, certifier: int) -> int:
    authority = Authority.open(folder)
    ready()
    return authority.revoke(folder, bytes([certifier] * 32), 1_700_000_000, 1_700_000_100).number


def test_certifiers_that_are_revoked_at_once_are_all_on_the_list(tmp_path: Path) -> None:
    Authority.create(tmp_path / "authority")
    told = crowd.at_once(revoke, [(tmp_path / "authority", number) for number in range(1, 6)])
    assert sorted(told) == [1, 2, 3, 4, 5]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"), alone_in(tmp_path / "nowhere"):
        pass
