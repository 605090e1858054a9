# SPDX-License-Identifier: Apache-2.0
"""What the service's two sides, interface and console, share."""

import hmac
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from utility_server.grid.mdms.workspace import Mdms
from utility_server.head_end import HeadEnd
from utility_server.retail.accounts import meter_of_account, note_all_accounts
from utility_server.retail.utility import Utility
from utility_server.service.access.api_keys import ApiKeys
from utility_server.service.access.audit import AuditLog
from utility_server.service.access.client_certificates import ClientCertificates
from utility_server.service.access.known_browsers import KnownBrowsers
from utility_server.service.access.oidc import Provider, StaffSignIn, StaffTokens
from utility_server.service.access.operators import Operators
from utility_server.service.access.second_factor import SecondFactors
from utility_server.service.access.sessions import ConsoleSessions
from utility_server.service.access.settings import needs_second_factor, read_settings
from utility_server.service.api.cursors import Cursors
from utility_server.service.api.metrics import Metrics
from utility_server.service.api.repeated import RepeatedRequests
from utility_server.service.einvoice.parties import Parties
from utility_server.service.jobs import bill_run, claim_run, group_settlement, record_check
from utility_server.service.jobs.items import BillRunItems
from utility_server.service.jobs.runner import Runner
from utility_server.service.jobs.schedules import Schedules
from utility_server.service.jobs.store import Jobs, Kinds
from utility_server.service.tariff_register import TariffRegister

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_CURSOR_LABEL: Final = b"meterlet cursor 1"
_REPEATED_LABEL: Final = b"meterlet repeated request 1"
_BROWSER_LABEL: Final = b"meterlet known browser 1"
ROUND_PATIENCE: Final = 5.0
"""How long it is waited for a round, in seconds: the MDMS goes on, and tells its number later."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How one utility is served."""

    folder: Path
    origins: frozenset[str]
    """Where it is, as browsers name it: `http://127.0.0.1:8080`."""
    mdms: Path | None = None
    """The folder of the MDMS whose sums are shown."""
    may_dial: bool = False
    """Whether runs may ask hubs at addresses that they name."""
    now: Callable[[], int] = lambda: int(time.time())
    randomness: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    log: Callable[[str, Mapping[str, object]], None] = lambda event, facts: None
    """Told what happens, without secrets and without anything of a customer."""

    @property
    def is_secure(self) -> bool:
        """Whether it is served over TLS."""
        return all(origin.startswith("https://") for origin in self.origins)

    @property
    def hosts(self) -> frozenset[str]:
        """What the Host header of a request may be."""
        return frozenset(origin.split("://", 1)[1] for origin in self.origins)

    @staticmethod
    def origins_of(names: tuple[str, ...], port: int, *, is_secure: bool) -> frozenset[str]:
        """Return the origins of a service under these names."""
        scheme, usual = ("https", 443) if is_secure else ("http", 80)
        end = "" if port == usual else f":{port}"
        return frozenset(f"{scheme}://{name}{end}" for name in names)


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """An opened service; close it when done."""

    settings: ServiceSettings
    utility: Utility
    api_keys: ApiKeys
    client_certificates: ClientCertificates
    operators: Operators
    sessions: ConsoleSessions
    browsers: KnownBrowsers
    audit: AuditLog
    tokens: StaffTokens | None
    sign_in: StaffSignIn | None
    """None where the identity provider knows no console."""
    tariffs: TariffRegister
    parties: Parties
    jobs: Jobs
    items: BillRunItems
    schedules: Schedules
    bill_runs: bill_run.BillRun
    claim_runs: claim_run.ClaimRun
    runner: Runner
    rounds: Runner
    """Works on runs that wait for rounds of the MDMS: the others do not wait for them."""
    cursors: Cursors
    repeated: RepeatedRequests
    metrics: Metrics

    @classmethod
    def open(cls, settings: ServiceSettings) -> Self:
        """Open the utility and what serves it; raise `UtilityError` where it is not usable."""
        oidc = read_settings(settings.folder)
        utility = Utility.open(settings.folder, randomness=settings.randomness, now=settings.now)
        engine, now, randomness = utility.engine, settings.now, settings.randomness
        provider = None if oidc is None else Provider(oidc, now)
        factors = SecondFactors(engine, utility.keys.storage, now, randomness)
        operators = Operators(
            engine, now, randomness, factors, needs_second_factor(settings.folder)
        )
        audit = AuditLog(engine, now)
        tariffs = TariffRegister(engine, utility.keys, now)
        jobs, items = Jobs(engine, now), BillRunItems(engine)
        schedules = Schedules(engine, jobs, now, randomness)
        head_end: Callable[[], HeadEnd] | None = utility.head_end if settings.may_dial else None
        bill_runs = bill_run.BillRun(utility, tariffs, items, head_end, now)
        claim_runs = claim_run.ClaimRun(utility, head_end)
        parties = Parties(engine, utility.keys.storage, randomness)
        # What was kept before there were these indexes is found by them, too.
        note_all_accounts(engine)
        parties.index_all(lambda account: meter_of_account(engine, account))
        runner = Runner(
            jobs,
            {
                bill_run.KIND: bill_runs,
                **dict.fromkeys(claim_run.CLAIM_OF, claim_runs),
                record_check.KIND: record_check.RecordCheck(utility, audit, now),
            },
            randomness,
            settings.log,
            schedules.begin_due,
            Kinds((group_settlement.KIND,)),
        )
        rounds = Runner(
            jobs,
            {
                group_settlement.KIND: group_settlement.GroupSettlementRun(
                    utility.claim_items, settings.mdms, now
                )
            },
            randomness,
            settings.log,
            takes=Kinds((group_settlement.KIND,), is_all_but=False),
        )
        return cls(
            settings=settings,
            utility=utility,
            api_keys=ApiKeys(engine, now, randomness),
            client_certificates=ClientCertificates(engine, now),
            operators=operators,
            sessions=ConsoleSessions(engine, operators, now, randomness),
            audit=audit,
            tokens=None if provider is None else StaffTokens(provider),
            sign_in=None
            if provider is None or oidc is None or not oidc.client_id
            else StaffSignIn(provider, engine, randomness),
            tariffs=tariffs,
            parties=parties,
            jobs=jobs,
            items=items,
            schedules=schedules,
            bill_runs=bill_runs,
            claim_runs=claim_runs,
            runner=runner,
            rounds=rounds,
            cursors=Cursors(_derived(utility, _CURSOR_LABEL)),
            repeated=RepeatedRequests(engine, now, _derived(utility, _REPEATED_LABEL)),
            browsers=KnownBrowsers(_derived(utility, _BROWSER_LABEL), now, randomness),
            metrics=Metrics(utility.questions, jobs),
        )

    def open_mdms(self) -> Mdms | None:
        """Open the MDMS, to be used in a `with`; None where the service has none."""
        folder = self.settings.mdms
        return None if folder is None else Mdms.open(folder)

    def close(self) -> None:
        """End the runs' threads and close the database."""
        self.runner.stop()
        self.rounds.stop(ROUND_PATIENCE)
        self.utility.close()


def _derived(utility: Utility, label: bytes) -> bytes:
    """Return a key of its own for one use, which whoever has the utility's keys has."""
    return hmac.new(utility.keys.storage, label, sha256).digest()
