# SPDX-License-Identifier: Apache-2.0
"""Who decrypts products: the MDMS alone, or together with the trustee that has the other share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from protocols.aggregation import (
    Batch,
    Contribution,
    Decryptor,
    Halves,
    HolderRefused,
    JointDecryptor,
    KeyShare,
    PaillierPrivateKey,
    PaillierPublicKey,
    PairPoints,
    Round,
)
from utility_server.errors import CannotVerify
from utility_server.grid.concentrator.errors import ConcentratorError
from utility_server.grid.mdms.workspace import Mdms
from utility_server.grid.rpc import Item, Line, Message

_PLACE_SIZE: Final = 2


def decryptor_of(
    office: Mdms, concentrator: Line, trustee: Line | None, announced: Round
) -> Decryptor:
    """Return what opens the products of a round.

    Raises `CannotVerify` where the MDMS holds a share only, and there is no trustee.
    """
    if isinstance(office.paillier, PaillierPrivateKey):
        return office.paillier
    if trustee is None:
        raise CannotVerify("this MDMS has a share of its key only: its trustee must help")
    return WithTrustee(office.paillier, concentrator, trustee, announced)


@dataclass(slots=True)
class WithTrustee:
    """Decrypts with the MDMS's share and the trustee's halves, for which that has to see reasons.

    Raises `HolderRefused` where the trustee does not help, or answers wrongly.
    """

    share: KeyShare
    concentrator: Line
    trustee: Line
    announced: Round
    _evidence: list[Item] = field(default_factory=list)

    @property
    def public_key(self) -> PaillierPublicKey:
        """The key whose ciphertexts it opens."""
        return self.share.public_key

    def decrypt_many(self, ciphertexts: Sequence[int]) -> list[int]:
        """Return the plaintext of each, which are the sum over a round's contributors."""
        return JointDecryptor(self.share, self._ask_for_sum).decrypt_many(ciphertexts)

    def dispute(
        self, batch: Batch, contributions: Sequence[Contribution], points: Sequence[PairPoints]
    ) -> Callable[[Sequence[int]], Decryptor]:
        """Show that all contributors dispute the sum; return what decrypts the product of some.

        What it returns takes their places in the list of contributors.
        """
        evidence = [one.encode() for one in (*contributions, *points)]
        shown = self.announced.encode(), batch.contributors.encode(), *evidence
        self._ask("dispute", *shown)

        def opener(places: Sequence[int]) -> Decryptor:
            named = b"".join(place.to_bytes(_PLACE_SIZE, "big") for place in places)
            return JointDecryptor(
                self.share, lambda _: self._ask_for_halves("part", self.announced.digest, named)
            )

        return opener

    def _ask_for_sum(self, ciphertexts: Sequence[int]) -> Halves:
        if not self._evidence:
            for name, items in self.concentrator.ask("evidence", self.announced.digest):
                if name == "contribution":
                    self._evidence += items
        size = self.public_key.ciphertext_size
        data = b"".join(int(ciphertext).to_bytes(size, "big") for ciphertext in ciphertexts)
        return self._ask_for_halves("halves", self.announced.encode(), data, *self._evidence)

    def _ask_for_halves(self, request: str, *items: Item) -> Halves:
        for name, answered in self._ask(request, *items):
            match name, answered:
                case "halves", (bytes(data),):
                    try:
                        return Halves.decode(data, self.public_key)
                    except ValueError as error:
                        raise HolderRefused(f"the trustee's answer: {error}") from None
        raise HolderRefused("the trustee does not help")

    def _ask(self, request: str, *items: Item) -> list[Message]:
        try:
            return list(self.trustee.ask(request, *items))
        except ConcentratorError as error:
            raise HolderRefused(f"the trustee does not help: {error}") from None
