# SPDX-License-Identifier: Apache-2.0
"""What can go wrong at the utility.

UtilityError
  StoreError           the utility's database or key files are not usable
    StoreBusy          another process holds the database
    StoreUnreachable   the database's server is not reached
    LedgerTampered     the ledger is not what was written
  QueueUnreachable     the queue's server is not reached
  QueueRefused         it cannot be used so: its address, its token, no JetStream
  UnknownCustomer      no such meter is enrolled
  EnrolmentRefused     an enrolment file is not one, or contradicts what is enrolled
  HeadEndError         the hub could not be asked
    HubRefused         the hub's applet answered with a status word
    ChannelBroken      what came over the channel is not what the hub's applet sent
    HubPutBack         the hub's disclosure log does not go on from where it was
    HubContradicts     the hub's card says of itself what cannot be
    AnswerTooLong      the hub's answer is longer than any right one
  VerificationFailed   an answer is wrong: `.check` names the check that refused it
  CannotVerify         an answer may be right, but what would show it is missing
    NoContract         the period is not within one contract of the meter
    BillOutOfOrder     the tariff goes on from bill to bill, and one before is missing
  SettlementSpoiled    a sum over customers is wrong, or one of them has tried to spoil it
  AlreadyBilled        a part of the period is on another invoice
  QuestionClosed       an answer is to no question that waits for one
  RolloutRefused       a roll-out cannot be planned, begun or changed so
  ContractRefused      a contract cannot be opened, closed or dropped so
  AccessProblem        a key, an operator or the identity provider is not as it must be
    TooManySignIns     it is too soon after the last failures
  ServiceRefused       the service cannot do what it is asked, as things are
  StackRefused         a stack runs in this folder already, or its ports are taken
    TariffWithdrawn      nothing new is asked under that tariff
"""

import re
from decimal import Decimal
from typing import Final

from protocols.errors import MeterletError

_EXIT_CODES: Final = {
    0x6982: 5,  # the applet may not ask for it, or not for these days
    0x6985: 5,  # the resident has not consented to it
    0x6A84: 5,  # more than the consent allows
    0x6983: 5,  # not so often
    0x6A83: 4,  # days of the period are not certified yet
}
"""How a command ends that a hub's applet answered with one of these status words."""


def kind_of(error: BaseException) -> str:
    """Return the kind of an error: its class, in small letters with hyphens."""
    name = type(error).__name__
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


class UtilityError(MeterletError):
    """Base of all errors at the utility."""

    exit_code: int = 1
    """With which a command ends: 1 failure, 3 a verification failed, 4 it cannot be verified,
    5 refused by consent or policy."""


class StoreError(UtilityError):
    """The database or a key file is missing, damaged, or of another kind."""


class StoreBusy(StoreError):
    """Another process holds the database and does not let go; nothing was written."""


class StoreUnreachable(StoreError):
    """The database's server is not reached, or the connection was lost; try again later."""


class QueueUnreachable(UtilityError):
    """The queue's server is not reached; nothing is lost, as the database has everything."""


class QueueRefused(UtilityError):
    """The queue's server cannot be used as it was named; waiting does not help."""


class LedgerTampered(StoreError):
    """An entry was changed, dropped or put in another place."""

    exit_code = 3


class UnknownCustomer(UtilityError):
    """No meter of that identification is enrolled."""


class EnrolmentRefused(UtilityError):
    """A file is not an enrolment, or its meter is enrolled already with other keys."""


class HeadEndError(UtilityError):
    """The hub could not be reached, or the channel to it broke."""


class HubRefused(HeadEndError):
    """The hub's applet answered with a status word instead of data."""

    def __init__(self, status_word: int, meaning: str) -> None:
        super().__init__(f"the hub refused: {status_word:04X} ({meaning})")
        self.status_word, self.meaning = status_word, meaning
        self.exit_code = _EXIT_CODES.get(status_word, UtilityError.exit_code)


class ChannelBroken(HeadEndError):
    """The secure channel refused what came: altered, replayed, or of another hub's keys."""

    exit_code = 3


class HubPutBack(HeadEndError):
    """The hub's log is shorter than it was, or another: it was put back to an older state."""

    exit_code = 3

    def __init__(self, meter: bytes, reason: str) -> None:
        super().__init__(
            f"meter {meter.hex()}: {reason}. Ask the resident; if that is as it should be, accept"
            f" the log as it is with `meterlet utility accept-log --meter {meter.hex()}`"
        )


class HubContradicts(HeadEndError):
    """The hub's card says of itself what cannot be, by what it has said or taken before."""

    exit_code = 3

    def __init__(self, meter: bytes, reason: str) -> None:
        super().__init__(f"meter {meter.hex()}: {reason}")


class AnswerTooLong(HeadEndError):
    """A hub's answer is longer than any right one; it was not kept."""

    exit_code = 3


class RolloutRefused(UtilityError):
    """A roll-out cannot be planned, begun or changed so."""


class VerificationFailed(UtilityError):
    """An answer is wrong."""

    exit_code = 3

    def __init__(self, check: str, reason: str, difference: Decimal | None = None) -> None:
        super().__init__(f"{check}: {reason}")
        self.check = check
        self.reason = reason
        self.difference = difference
        """How much the answer asks beyond what is proved, where that is known."""


class CannotVerify(UtilityError):
    """What would show an answer to be right or wrong is missing."""

    exit_code = 4


class NoContract(CannotVerify):
    """The period is not within one contract: its days are no customer's, or two customers'."""


class BillOutOfOrder(CannotVerify):
    """Under a tariff with memory a bill begins where the one before ended, and none is left out."""


class SettlementSpoiled(UtilityError):
    """A sum over customers is wrong, or one of them has tried to spoil it."""

    exit_code = 3


class AlreadyBilled(UtilityError):
    """A part of the period, not just all of it, is on an invoice that stands."""

    exit_code = 4


class QuestionClosed(UtilityError):
    """An answer is to a question that was never asked, was withdrawn, or has another answer."""

    exit_code = 4


class ContractRefused(UtilityError):
    """A contract overlaps another, or days that are billed would be in none."""


class AccessProblem(UtilityError):
    """A key, an operator or what is said of the identity provider is not as it must be."""


class TooManySignIns(AccessProblem):
    """Nothing was checked: it is too soon after the last failures."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many attempts; try again in {seconds} s")
        self.seconds = seconds


class ServiceRefused(UtilityError):
    """The service cannot do what it is asked, as things are."""


class StackRefused(UtilityError):
    """A stack runs in this folder already, or another program has its ports; nothing was done."""


class TariffWithdrawn(ServiceRefused):
    """Nothing new is asked under a tariff that was withdrawn; its prices need a new revision."""

    def __init__(self, name: str, revision: int, day: str) -> None:
        super().__init__(
            f"the tariff {name}, revision {revision}, was withdrawn on {day}: nothing new is asked"
            f" under it; for the same prices, register a new revision (`revision = {revision + 1}`)"
        )


class CertificateRefused(UtilityError):
    """A request for a hub's certificate is not its hub's, or a certificate cannot be used."""

    exit_code = 3
