# SPDX-License-Identifier: Apache-2.0
"""BEGIN and END R-MAC SESSION: answers protected for a while (GPC Amendment D v1.2, 7.1.3, 7.1.4).

    BEGIN  7A  P1 10 MACs, 30 MACs and encryption   P2 01   nothing, or length (1) and that data
    END    78  P1 00                                P2 03   nothing

They take effect with the next command: the answer to BEGIN has no MAC yet, the answer to END still
has one. There is nothing to begin where EXTERNAL AUTHENTICATE has protected answers already, nor
where commands carry no MAC: an answer's is chained to theirs.
"""

from typing import Final

from hub.card.commands.get_data import require_authenticated
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.apdu import ResponseApdu
from protocols.iso7816.tlv import Cursor
from protocols.secure_channel.scp03 import Scp03
from protocols.secure_channel.session import LEVELS, SecureSession, SecurityLevel

BEGIN, END = 0x01, 0x03
ANSWERS: Final = frozenset({SecurityLevel.R_MAC, SecurityLevel.R_MAC | SecurityLevel.R_ENC})
MOST_DATA: Final = 24


def begin_r_mac(_: CardParts, call: CardCall) -> ResponseApdu:
    """Protect the answers from the next command on."""
    session, command = _session(call), call.command
    if command.p1 not in ANSWERS or command.p2 != BEGIN:
        raise CardRefusal(Sw.WRONG_P1_P2, "BEGIN R-MAC SESSION has P1 10 or 30 and P2 01")
    with refusing_malformed("BEGIN R-MAC SESSION"):
        cursor = Cursor(command.data)
        size = 0 if cursor.at_end else cursor.byte()
        cursor.take(size)
    if size > MOST_DATA or not cursor.at_end:
        raise CardRefusal(Sw.WRONG_DATA, f"its data are a length and at most {MOST_DATA} bytes")
    level = session.level | command.p1
    if session.level & SecurityLevel.R_MAC or level not in LEVELS:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED,
            f"no answers are protected so in a session of level {session.level:02X}",
        )
    session.change_level(level)
    call.channel.level_before = session.level
    return ResponseApdu(b"", Sw.SUCCESS)


def end_r_mac(_: CardParts, call: CardCall) -> ResponseApdu:
    """Go back to the level that EXTERNAL AUTHENTICATE set; this answer is the last with a MAC."""
    session, command, before = _session(call), call.command, call.channel.level_before
    if command.p1 or command.p2 != END or command.data:
        raise CardRefusal(Sw.WRONG_P1_P2, "END R-MAC SESSION has P1 00, P2 03 and no data")
    if before is None:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "no R-MAC session was begun")
    session.change_level(before)
    call.channel.level_before = None
    return ResponseApdu(b"", Sw.SUCCESS)


def _session(call: CardCall) -> SecureSession:
    require_authenticated(call)
    authentication = call.channel.authentication
    assert authentication is not None  # require_authenticated has looked
    if not isinstance(authentication.session, Scp03):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "R-MAC sessions are SCP03's")
    return authentication.session
