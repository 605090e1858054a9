# SPDX-License-Identifier: Apache-2.0
"""The base of the applets that answer questions about a period with proved amounts.

Installed with the recipient's Ed25519 public key (32 bytes) as its parameters, and, where that is
not 1-0:1.8.0*255, the OBIS code of the register that it is about (6 bytes). For a question the
applet checks its form and that this key signed the document in it, and answers with amounts that
the platform proves. It keeps for the resident, under `resident/`, the key and every document that
it answered under. What is signed, and which amounts follow from it, each applet says itself.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final, Generic, Protocol, TypeVar

from applets.common.questions import (
    CLA,
    About,
    Instruction,
    MessageRefused,
    ProvedAnswer,
    Question,
)
from applets.sdk import (
    Applet,
    AppletError,
    CarriedNumbers,
    Command,
    OpenedNumbers,
    Response,
    StatusWord,
    instruction,
)
from protocols.amounts import NumberAmount, encode_amounts
from tariffs import SignatureRefused, TariffError
from tariffs.envelope import split_signed

IMPORT_REGISTER: Final = "1-0:1.8.0*255"
IMPORT_CODE: Final = bytes.fromhex("0100010800ff")
KEY_SIZE: Final = 32
CODE_SIZE: Final = 6
MAIN_REGISTER: Final = b"main register"
"""Where in the store the code of the register is, if it is not `IMPORT_CODE`."""


def obis_text(code: bytes) -> str:
    """Return how a register is named in questions to the platform."""
    return "{}-{}:{}.{}.{}*{}".format(*code)


class Document(Protocol):
    """What a question's signed document says."""

    @property
    def digest(self) -> bytes:
        """The 32 bytes that name it."""
        ...


DocumentT = TypeVar("DocumentT", bound=Document)


class AskingApplet(Applet, Generic[DocumentT]):
    """Answers questions under documents that its recipient signed."""

    question: ClassVar[type[Question]]
    signer_key: ClassVar[bytes]
    """Where in the store the recipient's public key is."""
    documents: ClassVar[bytes]
    """Under what in the store the documents are, each by its digest."""
    malformed: ClassVar[type[Exception]] = TariffError
    """What `decode` and `answer` raise for a document that makes no sense."""

    @abstractmethod
    def decode(self, payload: bytes) -> DocumentT:
        """Return what was signed."""

    @abstractmethod
    def answer(self, question: Question, document: DocumentT) -> bytes:
        """Return the encoded answer."""

    def deliver(self, document: bytes) -> Response:
        """Take what is delivered to the resident; most applets take nothing."""
        raise AppletError(StatusWord.INSTRUCTION_NOT_SUPPORTED)

    def bound(self, data: bytes) -> Response:
        """Answer whether energy is within a limit; most applets are asked no such thing."""
        raise AppletError(StatusWord.INSTRUCTION_NOT_SUPPORTED)

    def install(self, parameters: bytes) -> None:
        """Keep the recipient's public key; whose documents else should be believed?"""
        if len(parameters) not in (KEY_SIZE, KEY_SIZE + CODE_SIZE):
            raise AppletError(
                StatusWord.WRONG_DATA,
                f"it is installed with its recipient's public key, {KEY_SIZE} bytes, perhaps with"
                f" a register's code, {CODE_SIZE}, behind it, and got {len(parameters)}",
            )
        self.platform.store.put(self.signer_key, parameters[:KEY_SIZE])
        if len(parameters) > KEY_SIZE:
            self.platform.store.put(MAIN_REGISTER, parameters[KEY_SIZE:])

    @property
    def main_register(self) -> bytes:
        """The OBIS code of the register that it is about."""
        return self.platform.store.get(MAIN_REGISTER) or IMPORT_CODE

    def process(self, command: Command) -> Response:
        """Answer a question, or take what is delivered."""
        if command.cla != CLA:
            raise AppletError(StatusWord.CLASS_NOT_SUPPORTED)
        match instruction(Instruction, command):
            case Instruction.ASK:
                return Response(self._ask(command.data))
            case Instruction.DELIVER:
                return self.deliver(command.data)
            case Instruction.BOUND:
                return self.bound(command.data)

    def _ask(self, data: bytes) -> bytes:
        try:
            question = self.question.decode(data)
            document = self.decode(self.signed(question.document, question.content_type))
            # Before anything is told: it is taken back if that is refused.
            self.platform.store.put(self.documents + document.digest, question.document)
            return self.answer(question, document)
        except (MessageRefused, SignatureRefused, self.malformed) as error:
            raise AppletError(StatusWord.WRONG_DATA, str(error)) from None

    def signed(self, document: bytes, content_type: str) -> bytes:
        """Return what the recipient signed as this; raise `SignatureRefused` if it did not."""
        parts = split_signed(document, content_type)
        key = self.platform.store.get(self.signer_key)
        if key is None or not self.platform.signatures.verify_ed25519(
            key, parts.to_be_signed, parts.signature
        ):
            raise SignatureRefused("the recipient did not sign this document")
        return parts.payload

    def slot_seconds(self) -> int:
        """Return the length of a slot."""
        return 60 * self.platform.calendar.grid().slot_minutes

    def open_numbers(
        self,
        registers: Sequence[bytes],
        about: About,
        document: DocumentT,
        numbers: Sequence[NumberAmount],
    ) -> OpenedNumbers:
        """Return what the numbers come to, proved for this question and document alone."""
        return self.platform.statements.open_numbers(
            b"".join(registers),
            about.begin,
            about.end,
            encode_amounts(numbers),
            document.digest + about.nonce,
        )

    def carry_numbers(
        self,
        registers: Sequence[bytes],
        about: About,
        document: DocumentT,
        numbers: Sequence[NumberAmount],
        state: bytes,
        mark: bytes = b"",
    ) -> CarriedNumbers:
        """Return as `open_numbers`, of numbers that go on from a state, and the one they leave.

        `mark` is what the question says beside, which the proof is bound to.
        """
        return self.platform.statements.carry_numbers(
            b"".join(registers),
            about.begin,
            about.end,
            encode_amounts(numbers),
            document.digest + about.nonce + mark,
            state,
        )


class OneProofApplet(AskingApplet[DocumentT]):
    """Answers with one proof, about the energy drawn."""

    proved: ClassVar[type[ProvedAnswer]]

    @abstractmethod
    def numbers(
        self, document: DocumentT, starts: Sequence[int], slot_seconds: int
    ) -> Sequence[NumberAmount]:
        """Return what is to be proved of slots that start at these times."""

    def answer(self, question: Question, document: DocumentT) -> bytes:
        """Return the encoded answer."""
        about = question.about
        main = self.main_register
        slots = self.platform.calendar.slots(obis_text(main), about.begin, about.end)
        numbers = self.numbers(document, slots.starts, self.slot_seconds())
        opened = self.open_numbers([main], about, document, numbers)
        return self.proved(about, opened.proof, document.digest, opened.certified_days).encode()
