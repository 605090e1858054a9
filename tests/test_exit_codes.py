# SPDX-License-Identifier: Apache-2.0
"""The exit code of a command that an error ends: the class of the error says it."""

import pytest

from hub.card.status import CardRefusal, Sw
from hub.disclosure import LogTampered, ReleaseRefused
from hub.machine.errors import AppletFault, FaultKind
from hub.metering import ForeignDays, PeriodIncomplete
from hub.vault.vault import VaultError
from meterlet.commands.common import one_line_errors
from meterlet.key_files import KeyFileProblem
from protocols.metrology import GridError
from tariffs import MalformedTariff, SignatureRefused
from utility_server.errors import (
    AlreadyBilled,
    CannotVerify,
    ChannelBroken,
    HubRefused,
    LedgerTampered,
    UnknownCustomer,
    VerificationFailed,
)
from utility_server.grid.mdms.errors import AggregateMissing, BudgetSpent


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AggregateMissing("none"), 4),
        (AppletFault("applet", FaultKind.CRASH, "a trace"), 1),
        (AlreadyBilled("in part"), 4),
        (BudgetSpent("spent"), 5),
        (CannotVerify("missing"), 4),
        (ChannelBroken("altered"), 3),
        (ForeignDays("another key"), 3),
        (GridError("no grid"), 1),
        (HubRefused(0x6400, "the applet failed"), 1),
        (HubRefused(0x6983, "too often"), 5),
        (HubRefused(0x6985, "no consent"), 5),
        (HubRefused(0x6A83, "not certified"), 4),
        (KeyFileProblem("no key"), 1),
        (LedgerTampered("changed"), 3),
        (LogTampered("changed"), 3),
        (MalformedTariff("a hole"), 1),
        (OSError(2, "no such file", "x"), 1),
        (PeriodIncomplete("a day"), 4),
        (CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "a rule"), 1),
        (ReleaseRefused("count", "too many"), 5),
        (SignatureRefused("another key"), 3),
        (UnknownCustomer("nobody"), 1),
        (VaultError("wrong"), 1),
        (VerificationFailed("sum", "wrong"), 3),
    ],
    ids=repr,
)
def test_a_command_ends_with_its_errors_code_and_one_line(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith("meterlet: ")


def test_a_bug_of_ours_is_not_made_a_line_of() -> None:
    with pytest.raises(RuntimeError), one_line_errors():
        raise RuntimeError
