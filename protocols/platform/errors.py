# SPDX-License-Identifier: Apache-2.0
"""What an applet raises and what it meets; each becomes a status word.

AppletError           ends the command with a status word of the applet's choice
  Refused             the platform did not do what it was asked, and says why
"""

import enum


class StatusWord(enum.IntEnum):
    """The last two bytes of a response (ISO/IEC 7816-4, 5.6; GlobalPlatform 2.3.1, 11.1.3)."""

    SUCCESS = 0x9000
    NO_SPECIFIC_DIAGNOSIS = 0x6400
    WRONG_LENGTH = 0x6700
    SECURITY_STATUS_NOT_SATISFIED = 0x6982
    TOO_OFTEN = 0x6983
    CONDITIONS_NOT_SATISFIED = 0x6985
    WRONG_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    RECORD_NOT_FOUND = 0x6A83
    NOT_ENOUGH_MEMORY = 0x6A84
    INCORRECT_P1_P2 = 0x6A86
    NOT_FOUND = 0x6A88
    INSTRUCTION_NOT_SUPPORTED = 0x6D00
    CLASS_NOT_SUPPORTED = 0x6E00


class Refusal(enum.Enum):
    """Why the platform did not do what it was asked.

    not-granted     the manifest does not name it
    no-consent      the resident has not consented to it, or no longer
    not-found       there is no such register, period or key
    incomplete      slots of the period are missing
    malformed       the arguments, or the order of the calls, make no sense
    too-much        more than the limits of platform or manifest allow
    too-often       more often than the manifest allows
    """

    NOT_GRANTED = "not-granted"
    NO_CONSENT = "no-consent"
    NOT_FOUND = "not-found"
    INCOMPLETE = "incomplete"
    MALFORMED = "malformed"
    TOO_MUCH = "too-much"
    TOO_OFTEN = "too-often"


_STATUS = {
    Refusal.NOT_GRANTED: StatusWord.SECURITY_STATUS_NOT_SATISFIED,
    Refusal.NO_CONSENT: StatusWord.CONDITIONS_NOT_SATISFIED,
    Refusal.NOT_FOUND: StatusWord.NOT_FOUND,
    Refusal.INCOMPLETE: StatusWord.RECORD_NOT_FOUND,
    Refusal.MALFORMED: StatusWord.WRONG_DATA,
    Refusal.TOO_MUCH: StatusWord.NOT_ENOUGH_MEMORY,
    Refusal.TOO_OFTEN: StatusWord.TOO_OFTEN,
}


class AppletError(Exception):
    """Ends the command; the peer gets `status` and no data, and nothing of it is kept."""

    def __init__(self, status: int, reason: str = "") -> None:
        """`reason` is for whoever traces the card at home; the peer does not hear of it."""
        if not 0x6000 <= status <= 0x9FFF:
            raise ValueError(f"not a status word: {status:#06x}")
        super().__init__(f"{status:04X} {reason}".rstrip())
        self.status, self.reason = status, reason


class Refused(AppletError):
    """The platform does not do what it was asked; a refusal has a status word of its own.

    The applet hears of `refusal` alone. Unless it catches this, the peer gets the status word.
    """

    def __init__(self, refusal: Refusal, reason: str = "") -> None:
        super().__init__(_STATUS[refusal], reason or refusal.value)
        self.refusal = refusal
