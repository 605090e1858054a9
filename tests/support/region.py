# SPDX-License-Identifier: Apache-2.0
"""A region over real sockets: stand-in hubs, a concentrator's server, an MDMS's runner."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocols.aggregation.collector import Collector
from protocols.aggregation.paillier import PaillierPrivateKey
from protocols.aggregation.round import Round, RoundTerms
from protocols.aggregation.split_key import split_key
from tests.support.aggregation import (
    AUTHORITY,
    COLLECTOR_KEY,
    homes,
    plain_sum,
    private_key,
    public_of,
    terms,
)
from tests.support.mdms import new_mdms
from tests.support.stand_in import (
    SERVER,
    StandIn,
    asking,
    line_to,
    listed,
    listening,
    running,
)
from utility_server.grid.concentrator.service import Concentrator
from utility_server.grid.mdms.rounds import RoundOutcome, RoundRunner
from utility_server.grid.mdms.workspace import Mdms
from utility_server.grid.trustee import Trustee


class Region:
    """Hubs, a concentrator and an MDMS that know each other."""

    def __init__(self, workspace: Mdms, hubs: list[StandIn], concentrator: Concentrator) -> None:
        self.workspace, self.hubs, self.concentrator = workspace, hubs, concentrator

    @property
    def terms(self) -> RoundTerms:
        return terms(key=self.workspace.paillier.public_key)

    def run(
        self,
        about: RoundTerms | None = None,
        trustee: Trustee | None = None,
        *,
        is_again: bool = False,
    ) -> RoundOutcome:
        with ExitStack() as stack:
            address = stack.enter_context(running(self.concentrator))
            line, second = stack.enter_context(line_to(address)), None
            if trustee is not None:
                address = stack.enter_context(running(trustee))
                second = stack.enter_context(line_to(address))
            runner = RoundRunner(
                self.workspace, line, COLLECTOR_KEY, trustee=second, is_again=is_again
            )
            return runner.run(about or self.terms)

    def split(self) -> Trustee:
        """Split the MDMS's key; return the trustee with the other share."""
        assert isinstance(self.workspace.paillier, PaillierPrivateKey)
        self.workspace.paillier, share = split_key(self.workspace.paillier, os.urandom)
        operator = self.workspace.signing.public_key().public_bytes_raw()
        return Trustee(share, operator, (public_of(AUTHORITY),), 5, now=self.workspace.now)

    def expected(self, *dropped: int) -> tuple[int, ...]:
        return plain_sum([hub.home for n, hub in enumerate(self.hubs) if n not in dropped])


@contextmanager
def built(
    folder: Path, collector: Callable[[Round, bytes], Collector] = Collector
) -> Iterator[Region]:
    hubs = [StandIn(home) for home in homes(7, 24)]
    authority = Ed25519PublicKey.from_public_bytes(public_of(AUTHORITY))
    with ExitStack() as stack:
        workspace = stack.enter_context(new_mdms(folder / "mdms", authority))
        workspace.paillier = private_key()  # a short one: quicker to make
        for hub in hubs:
            workspace.members.admit(hub.home.member().certificate.encode())
        addresses = stack.enter_context(listening(hubs))
        concentrator = Concentrator(
            listed(folder / "hubs.json", hubs, addresses),
            workspace.signing.public_key().public_bytes_raw(),
            asking(),
            SERVER,
            now=lambda: 1_362_000_000,
            collector=collector,
        )
        workspace.now = lambda: 1_362_000_000
        stack.callback(concentrator.hubs.close)
        yield Region(workspace, hubs, concentrator)
