# SPDX-License-Identifier: Apache-2.0
"""SCP03 (GPC Amendment D v1.2): two ends that share a key set prove it and agree session keys.

    host -> card   INITIALIZE UPDATE      host challenge
    card -> host   diversification (10) | KVN 03 i | card challenge | card cryptogram | sequence (3)
    host -> card   EXTERNAL AUTHENTICATE  host cryptogram | C-MAC

The card challenge is pseudo-random (i bit 10): the host can check it against the sequence
counter. One class has both roles; `session` draws which step may follow which.
"""

import enum
import hmac
from dataclasses import dataclass, replace
from typing import Final, Self

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.secure_channel.errors import CardRefused, LocalChannelError, RemoteChannelError
from protocols.secure_channel.keys import StaticKeys, pseudo_random_challenge
from protocols.secure_channel.session import LEVELS, Phase, Role, SecureSession, SecurityLevel, Step

CLA_GLOBALPLATFORM: Final = 0x80
INS_INITIALIZE_UPDATE: Final = 0x50
INS_EXTERNAL_AUTHENTICATE: Final = 0x82
SEQUENCE_END: Final = 0xFFFFFF
"""A key set's sequence counter at its end: it opens no more sessions."""
_DIVERSIFICATION: Final = 10


class Option(enum.IntFlag):
    """The implementation options `i` (GPC Amendment D v1.2, table 5-1)."""

    S16 = 0x01
    PSEUDO_RANDOM = 0x10
    R_MAC = 0x20
    R_ENC = 0x40
    S8_FULL = 0x70
    S16_FULL = 0x71

    @property
    def size(self) -> int:
        """How many bytes challenges, cryptograms and MACs have."""
        return 16 if self & Option.S16 else 8


@dataclass(frozen=True, slots=True)
class CardChallenge:
    """The card's answer to INITIALIZE UPDATE."""

    diversification: bytes
    key_version: int
    option: Option
    challenge: bytes
    cryptogram: bytes
    sequence: int | None
    """None with a random challenge."""

    def encode(self) -> bytes:
        """Return the response data (GPC Amendment D v1.2, table 7-3)."""
        sequence = b"" if self.sequence is None else self.sequence.to_bytes(3, "big")
        info = bytes((self.key_version, 3, self.option))
        return self.diversification + info + self.challenge + self.cryptogram + sequence

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the fields that fill `data` exactly; raise `RemoteChannelError` otherwise."""
        if len(data) < _DIVERSIFICATION + 3:
            raise RemoteChannelError("the answer to INITIALIZE UPDATE is cut off")
        version, protocol, i = data[_DIVERSIFICATION : _DIVERSIFICATION + 3]
        if protocol != 3 or i & ~Option.S16_FULL:
            raise RemoteChannelError(f"the card offers SCP{protocol:02X} i={i:02X}, not SCP03")
        option = Option(i)
        start, size = _DIVERSIFICATION + 3, option.size
        tail = 3 if option & Option.PSEUDO_RANDOM else 0
        if len(data) != start + 2 * size + tail:
            raise RemoteChannelError("the answer to INITIALIZE UPDATE has the wrong length")
        return cls(
            data[:_DIVERSIFICATION],
            version,
            option,
            data[start : start + size],
            data[start + size : start + 2 * size],
            int.from_bytes(data[-3:], "big") if tail else None,
        )


class Scp03(SecureSession):
    """One SCP03 session, seen from either end."""

    def __init__(self, role: Role, keys: StaticKeys, host_challenge: bytes) -> None:
        """Begin a session; the challenge's 8 or 16 bytes choose between S8 and S16."""
        super().__init__(role)
        if len(host_challenge) not in {8, 16}:
            raise LocalChannelError("a challenge has 8 or 16 bytes")
        self._static, self._host_challenge = keys, host_challenge
        self._size = len(host_challenge)

    # The host

    def initialize_update(self, key_version: int = 0, key_id: int = 0) -> CommandApdu:
        """Return INITIALIZE UPDATE; version 0 is the card's default key set."""
        if self.role is not Role.HOST or self._phase is not Phase.FRESH:
            raise LocalChannelError("INITIALIZE UPDATE begins a host's session")
        return CommandApdu(
            CLA_GLOBALPLATFORM,
            INS_INITIALIZE_UPDATE,
            key_version,
            key_id,
            self._host_challenge,
            le=256,
        )

    def receive_challenge(self, response: ResponseApdu, aid: bytes | None = None) -> CardChallenge:
        """Check the card's cryptogram, and its challenge too where `aid` is what was selected.

        Raises `CardRefused` for a status word and `RemoteChannelError` for a card that does not
        know the keys.
        """
        self._act(Role.HOST, Step.CHALLENGE)
        if not response.is_success:
            self._phase = Phase.BROKEN
            raise CardRefused("INITIALIZE UPDATE", response.sw)
        try:
            card = CardChallenge.decode(response.data)
        except RemoteChannelError as error:
            self._refuse(str(error))
        if card.option.size != self._size:
            self._refuse("the card answers with another size of challenge")
        expected = self._agree(card.challenge)
        if not hmac.compare_digest(expected, card.cryptogram):
            self._refuse("the card's cryptogram is wrong: it does not know the keys")
        if aid is not None and card.sequence is not None:
            challenge = pseudo_random_challenge(self._static.enc, card.sequence, aid, self._size)
            if not hmac.compare_digest(challenge, card.challenge):
                self._refuse("the card's challenge does not follow from its sequence counter")
        self._option = card.option
        return card

    def external_authenticate(self, level: SecurityLevel = SecurityLevel.FULL) -> CommandApdu:
        """Return EXTERNAL AUTHENTICATE, which asks for `level`; the session is open then."""
        self._act(Role.HOST, Step.AUTHENTICATE)
        if level not in LEVELS:
            raise LocalChannelError(f"no such security level: {level:02X}")
        if not self._offers(level):
            self._refuse(f"the card does not offer security level {level:02X}")
        command = CommandApdu(
            CLA_GLOBALPLATFORM | 0x04, INS_EXTERNAL_AUTHENTICATE, level, 0, self._host_cryptogram
        )
        self._begin(level)
        mac = self._command_mac(command, command.data, long=False)
        return replace(command, data=command.data + mac)

    def confirm(self, response: ResponseApdu) -> None:
        """Return if the card accepted EXTERNAL AUTHENTICATE; raise `CardRefused` otherwise."""
        if not response.is_success:
            self._phase = Phase.BROKEN
            raise CardRefused("EXTERNAL AUTHENTICATE", response.sw)

    # The card

    def answer(
        self,
        *,
        diversification: bytes,
        key_version: int,
        option: Option,
        sequence: int,
        aid: bytes,
        random: bytes = b"",
    ) -> bytes:
        """Return the response data to INITIALIZE UPDATE.

        `aid` is the selected application's; `random` is the challenge where `option` does not
        make it pseudo-random.
        """
        self._act(Role.CARD, Step.CHALLENGE)
        if option.size != self._size or len(diversification) != _DIVERSIFICATION:
            raise LocalChannelError("the challenge does not fit the option")
        pseudo = bool(option & Option.PSEUDO_RANDOM)
        challenge = (
            pseudo_random_challenge(self._static.enc, sequence, aid, self._size)
            if pseudo
            else random
        )
        if len(challenge) != self._size:
            raise LocalChannelError("the card challenge has the wrong size")
        self._option = option
        return CardChallenge(
            diversification,
            key_version,
            option,
            challenge,
            self._agree(challenge),
            sequence if pseudo else None,
        ).encode()

    def authenticate(self, command: CommandApdu) -> SecurityLevel:
        """Return the level that a genuine EXTERNAL AUTHENTICATE asks for; the session is open then.

        Raises `RemoteChannelError` where cryptogram or MAC are wrong; the session is over then.
        """
        self._act(Role.CARD, Step.AUTHENTICATE)
        known = command.p1 in LEVELS and self._offers(SecurityLevel(command.p1))
        if not known or len(command.data) != 2 * self._size:
            self._refuse("EXTERNAL AUTHENTICATE has an unknown level or the wrong length")
        cryptogram, mac = command.data[: self._size], command.data[self._size :]
        level = SecurityLevel(command.p1)
        self._begin(level)
        expected = self._command_mac(command, cryptogram, long=command.extended)
        genuine = hmac.compare_digest(self._host_cryptogram, cryptogram)
        if not (hmac.compare_digest(expected, mac) and genuine):
            self._refuse("the host's cryptogram or MAC is wrong: it does not know the keys")
        return level

    # Both

    def _offers(self, level: SecurityLevel) -> bool:
        if level & SecurityLevel.R_ENC and not self._option & Option.R_ENC:
            return False
        return not level & SecurityLevel.R_MAC or bool(self._option & Option.R_MAC)

    def _agree(self, card_challenge: bytes) -> bytes:
        context = self._host_challenge + card_challenge
        self._keys = self._static.session_keys(self._host_challenge, card_challenge)
        card, self._host_cryptogram = self._keys.cryptograms(context, self._size)
        return card

    def _begin(self, level: SecurityLevel) -> None:
        self._open(self._keys, level, self._size, chaining=bytes(16), counter=0)
