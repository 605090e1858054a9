# SPDX-License-Identifier: Apache-2.0
"""What goes over the interface: bytes in hex, days as dates, moments in UTC, money as text."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from utility_server.service.access.roles import Role
from utility_server.service.api.searching import HitKind

ItemT = TypeVar("ItemT")

MeterText = Annotated[
    str, StringConstraints(pattern=r"^([0-9a-f]{2}){1,32}$", max_length=64),
]  # fmt: skip
DigestText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
AccountText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
NonceText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
JobText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
KeyText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
MonthText = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
ChainEnd = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,17}):[0-9a-f]{64}$")]
HostPort = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\]):[1-9][0-9]{0,4}$"),
]
AidText = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}){5,16}$", max_length=32)]
Base64Text = Annotated[
    str, Field(min_length=4, json_schema_extra={"contentEncoding": "base64"}),
]  # fmt: skip
"""Without a pattern: whoever makes examples for one that repeats so often needs half a gigabyte."""


_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
FORMS: Final[Mapping[str, str]] = {
    r"^([0-9a-f]{2}){1,32}$": "1 to 32 bytes in hex",
    r"^[0-9a-f]{64}$": "32 bytes in hex",
    r"^[0-9a-f]{32}$": "16 bytes in hex",
    r"^[0-9a-f]{16}$": "8 bytes in hex",
    r"^[0-9]{4}-(0[1-9]|1[0-2])$": "a year and month, as 2025-03",
    r"^(0|[1-9][0-9]{0,17}):[0-9a-f]{64}$": "NUMBER:DIGEST, the digest in 64 hex digits",
    r"^([A-Za-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\]):[1-9][0-9]{0,4}$": "HOST:PORT",
    "^(month|quarter|year)$": "month, quarter or year",
    "^(bill|refused|settlement|profile|unattributed)$": (
        "bill, refused, settlement, profile or unattributed"
    ),
    "^(oldest|newest)$": "oldest or newest",
    "^(autoregression|profile|week before)$": "autoregression, profile or week before",
    r"^[A-Za-z0-9_+/-]{1,64}$": "a time zone's name, as Europe/Berlin",
    "^[A-Z]{2}$": "two capital letters, as DE",
    _LINE: "one line of text",
    r"^([0-9a-f]{2}){5,16}$": "5 to 16 bytes in hex",
    r"^([1-9][0-9]{0,8}|([1-9][0-9]?|100)%)$": "a number of hubs, or a share such as 10%",
    r"^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}$": "1 to 64 letters, digits, spaces, '.', '_', '/', '-'",
}
"""What a pattern of the interface's description is to people."""
LineText = Annotated[str, StringConstraints(pattern=_LINE)]


_VOID: Final = (
    "Whether nothing is to be paid by it any more: it was replaced, or its bill went on from one"
    " that was, and has to be asked for again."
)


class Model(BaseModel):
    """A member that is not described is an error, as is a value of another type."""

    model_config = ConfigDict(extra="forbid")


class Page(Model, Generic[ItemT]):
    """A part of a collection."""

    items: list[ItemT]
    next: str | None = Field(None, description="The cursor of the next page; null at the end.")


class Days(BaseModel):
    """Local days, both included."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    first: date = Field(alias="from")
    last: date = Field(alias="until")


class CustomerSummary(Model):
    """An enrolled meter."""

    meter: str
    zone: str
    applets: int


class Applet(Model):
    """An applet of the customer's hub that the utility may ask."""

    aid: str
    key_version: int
    register_: str = Field(alias="register")
    slot_minutes: int


class ContractState(Model):
    """From when to when the meter is a customer's, and which days are billed."""

    account: str
    from_: date | None = Field(alias="from")
    until: date | None
    on_record: bool
    billed: list[Days]
    void: list[Days]
    unbilled: list[Days]
    due: Days | None = Field(description="What a monthly reading cycle bills next.")


class Contract(Model):
    """From when to when the meter is a customer's."""

    account: str
    meter: str
    from_: date | None = Field(alias="from")
    until: date | None
    on_record: bool


class CertifiedChain(Model):
    """What is known of a register's certified days: how many, not what was used."""

    register_: str = Field(alias="register")
    days: int
    first: date
    last: date
    mounted: str = Field(description="The meter that counted when the last day ended.")
    custody_begins: date | None


class Exchange(Model):
    """What a certified day said of the meter: another one, or another custody."""

    day: date
    register_: str = Field(alias="register")
    kind: str
    facts: dict[str, str]


class LogHead(Model):
    """How far the hub's disclosure log had come when it was seen last."""

    length: int
    digest: str


class Customer(Model):
    """A customer's meter, as far as the utility knows it."""

    meter: str
    zone: str
    certifier: str
    applets: list[Applet]
    contracts: list[ContractState]
    chains: list[CertifiedChain]
    log: LogHead | None
    not_seen: str = Field(description="What the utility does not know of the customer.")


class Enrolled(Model):
    """What was enrolled."""

    meter: str
    applet: str


class MoveIn(BaseModel):
    """The first local day of a contract."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    first: date = Field(alias="from")


class MoveOut(Model):
    """The last local day of a contract."""

    until: date


class Forgotten(Model):
    """How many entries of a hub's log were known until now."""

    forgotten: int | None


class TariffState(Model):
    """A registered tariff."""

    digest: str
    name: str
    revision: int
    first: date
    last: date
    registered: str
    withdrawn: str | None


class PublishedLine(Model):
    """What customers were asked under, on the utility's public list."""

    number: int
    time: str
    kind: str
    name: str
    meters: int = Field(description="How many meters may be asked under it.")
    digest: str


class NewQuestion(Model):
    """A bill to ask for."""

    meter: MeterText
    period: Days
    tariff: DigestText
    paid: int | None = Field(
        None, ge=0, le=10**12, description="Paid in advance, in 10^-6 of the currency."
    )


class Bill(Model):
    """A bill that was asked for, and how far it has come."""

    question: str = Field(description="Its nonce.")
    meter: str
    period: Days
    state: str
    since: str
    address: str | None
    invoice: int | None
    reason: str | None = Field(
        description="In a word, why it does not go on: `hub-6985` is a hub's refusal."
    )
    why: str | None = Field(description="The same in a sentence.")
    failed: str | None = Field(description="When that was.")
    replaces: int | None = Field(description="The invoice whose place this one's has taken.")
    replaced_by: int | None = Field(description="The invoice that has taken its invoice's place.")
    void: bool = Field(description=_VOID)


class LedgerLine(Model):
    """An entry of the ledger."""

    number: int
    time: str
    kind: str
    meter: str
    period: Days | None = Field(description="The local days that it is about, as far as known.")
    facts: dict[str, str | int]
    digest: str
    replaced_by: int | None = Field(
        description="The entry of the bill that has replaced this one since."
    )
    void: bool = Field(description=_VOID)


class LedgerHead(Model):
    """The end of the ledger: who keeps it can tell that nothing was cut off."""

    entries: int
    digest: str


class AuditHead(Model):
    """The end of the audit log: who keeps it can tell that nothing was cut off."""

    entries: int
    digest: str


class Verdict(Model):
    """What came of verifying an entry again, from what the hub answered."""

    number: int
    verified: bool
    check: str | None = None
    why: str | None = None


class CorrectedDay(Model):
    """How many slots of a day were corrected."""

    day: date
    slots: int


class InvoiceState(Model):
    """An invoice, as it was signed."""

    number: int
    issued: str
    meter: str
    period: Days
    currency: str
    total: str
    missing_slots: int
    tariff: str
    evidence: str
    state: str = Field(description="`delivered` once the hub has it; until then `entered`.")
    since: str = Field(description="Since when it is in that state.")
    replaces: int | None
    replaced_by: int | None = Field(description="The invoice that has taken its place since.")
    void: bool = Field(description=_VOID)
    difference: str | None
    corrected: list[CorrectedDay]
    account: str | None
    bill: int | None
    paid: int | None
    is_last: bool


_Line = Annotated[str, StringConstraints(max_length=120, pattern=_LINE)]


class PartyModel(Model):
    """The name and address of a contract's customer."""

    name: Annotated[_Line, Field(min_length=1)]
    street: _Line
    postcode: _Line
    city: Annotated[_Line, Field(min_length=1)]
    country: str = Field(pattern="^[A-Z]{2}$", description="ISO 3166-1.")
    reference: _Line = Field("", description="How the customer wants to be referred to.")


class SearchModel(Model):
    """What to look for."""

    text: Annotated[_Line, Field(min_length=1)]
    limit: int = Field(20, ge=1, le=50, description="How many at most.")


class HitModel(Model):
    """Something that was found."""

    kind: HitKind
    meter: str
    exact: bool = Field(description="Whether it is what was asked for, or begins so.")
    account: str | None = Field(description="Of a contract, or of whom a name is.")
    invoice: int | None
    name: str | None


class FoundModel(Model):
    """What was found, whatever is exact first."""

    items: list[HitModel]
    more: bool = Field(description="Whether there may be more: then say more of it.")


class Share(Model):
    """What a supplier's customers used was worth, over a period."""

    supplier: str
    currency: str
    customers: int
    value_nano: int = Field(description="In 10^-9 of the currency.")


class BillRunOrderModel(Model):
    """A bill run: of a period, or of whatever is due in a reading cycle."""

    tariff: DigestText
    period: Days | None = None
    month: MonthText | None = Field(default=None, description="A whole month, instead of a period.")
    cycle: str = Field("month", pattern="^(month|quarter|year)$")
    begins: date = Field(date(2000, 1, 1), description="A day on which a cycle begins.")
    meters: list[MeterText] = Field([], max_length=10_000, description="Empty: all customers.")
    addresses: dict[MeterText, HostPort] = Field(
        {}, max_length=10_000, description="Where hubs are asked; others dial in."
    )
    at_last_address: bool = Field(False, description="Ask others where they were asked last.")
    replaces: bool = Field(False, description="Bill again what is billed.")
    tries: int = Field(5, ge=1, le=20)
    retry_seconds: int = Field(300, ge=1, le=86_400)
    wait_seconds: int = Field(
        0, ge=0, le=31_536_000, description="How long hubs are waited for; 0: until cancelled."
    )


class NotedEnds(Model):
    """Ends of the chains that somebody has noted elsewhere: the chains must go through them."""

    ledger: ChainEnd | None = Field(default=None, description="NUMBER:DIGEST, of `/ledger/head`.")
    audit: ChainEnd | None = Field(default=None, description="NUMBER:DIGEST, of `/audit/head`.")


class RunState(Model):
    """A long run, and how far it is."""

    run: str
    kind: str
    state: str
    created: str
    changed: str
    done: int
    total: int
    counts: dict[str, int]
    facts: dict[str, str | int | bool | None]
    faults: list[str]


class RunItem(Model):
    """One customer's bill in a run."""

    meter: str
    period: Days | None
    state: str
    question: str | None
    tries: int
    next_try: str | None
    reason: str | None
    why: str | None
    invoice: int | None
    replaced_by: int | None = Field(
        description="The invoice that has taken its invoice's place since."
    )
    void: bool = Field(description=_VOID)


class NewSchedule(Model):
    """A bill run that comes again, of what is due then."""

    name: str = Field(min_length=1, max_length=64, pattern=_LINE)
    day: int = Field(ge=1, le=28, description="Of each month.")
    hour: int = Field(0, ge=0, le=23, description="In UTC.")
    order: BillRunOrderModel


class ScheduleState(Model):
    """A bill run that comes again."""

    schedule: str
    name: str
    day: int
    hour: int
    next: str
    last_run: str | None


class RegionSpan(Model):
    """Of which time a region's sum is stored."""

    region: str
    resolution_minutes: int
    first: str
    last: str


class Curve(Model):
    """What all homes of a region used together, slot by slot."""

    region: str
    zone: str
    resolution_minutes: int
    fewest_homes: int
    most_homes: int
    missing: int
    slots: list[tuple[int, int]] = Field(description="Begin and end, in epoch seconds.")
    uses_wh: list[int]
    not_seen: str = Field(description="What the grid operator does not know of a home.")


class RegionForecast(Model):
    """What a region is expected to use, slot by slot."""

    region: str
    zone: str
    resolution_minutes: int
    method: str
    slots: list[tuple[int, int]] = Field(description="Begin and end, in epoch seconds.")
    uses_wh: list[int]
    not_seen: str = Field(description="What the grid operator does not know of a home.")


class NewApiKey(Model):
    """A key for a system."""

    name: str = Field(min_length=1, max_length=64, pattern=_LINE)
    roles: list[Role] = Field(min_length=1, max_length=len(Role))
    days: int = Field(365, ge=0, le=3650, description="How long it counts; 0: until revoked.")


class ApiKeyState(Model):
    """A key, without its secret."""

    key: str
    name: str
    roles: list[Role]
    created: str
    expires: str | None
    revoked: str | None


class ShownApiKey(ApiKeyState):
    """A new key: this is the only time that its text is shown."""

    secret: str


class NewClientCertificate(Model):
    """A system's certificate, which is to count in the place of a key."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")
    roles: list[Role] = Field(min_length=1, max_length=len(Role))
    certificate: str = Field(max_length=16_384, description="In PEM; it counts until it ends.")


class ClientCertificateState(Model):
    """A system's certificate as it is on record."""

    fingerprint: str = Field(description="SHA-256, in hex.")
    name: str
    roles: list[Role]
    registered: str
    expires: str
    withdrawn: str | None


class AuditLine(Model):
    """Who asked for what."""

    number: int
    time: str
    who: str
    action: str
    target: str
    outcome: str
    request: str
    digest: str


class Me(Model):
    """Who asks."""

    who: str
    roles: list[Role]
