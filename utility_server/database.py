# SPDX-License-Identifier: Apache-2.0
"""The utility's tables: SQLite in a file, or PostgreSQL where there are many customers.

All that is kept goes through `writing` and `reading` (`utility_server.transactions`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from protocols.canonical.stored import decode_row
from utility_server.errors import StoreError
from utility_server.packed_days import pack_old_days
from utility_server.transactions import PATIENCE_SECONDS, engine_of, name_of
from utility_server.transactions import reading as reading
from utility_server.transactions import writing as writing

SCHEMA_VERSION: Final = 9

_metadata: Final = MetaData()

_Kind = type[TypeEngine[Any]]

schema_table: Final = Table("schema_version", _metadata, Column("version", Integer, nullable=False))


def declare(
    metadata: MetaData, name: str, key: Mapping[str, _Kind], values: Mapping[str, _Kind]
) -> Table:
    """Return a table whose rows are found by `key`, in this order, and lack none of `values`."""
    keys = (Column(name, kind, primary_key=True, autoincrement=False) for name, kind in key.items())
    columns = (Column(name, kind, nullable=False) for name, kind in values.items())
    return Table(name, metadata, *keys, *columns)


enrolment_table: Final = declare(
    _metadata,
    "enrolment",
    {"meter": LargeBinary, "place": Integer},
    {"sealed": LargeBinary},
)
"""One row for each applet of a customer's hub; which applet it is says only what is sealed."""

ledger_table: Final = declare(
    _metadata,
    "ledger_entry",
    {"sequence": BigInteger},
    {"meter": LargeBinary, "body": LargeBinary, "digest": LargeBinary},
)
Index("ix_ledger_entry_meter", ledger_table.c.meter)

evidence_table: Final = declare(
    _metadata, "evidence", {"digest": LargeBinary}, {"kind": String, "content": LargeBinary}
)

span_table: Final = declare(
    _metadata,
    "certified_span",
    {"meter": LargeBinary, "register": LargeBinary, "first": BigInteger},
    {"last": BigInteger, "days": LargeBinary},
)
"""The certified days that bills were verified with, by their numbers (`packed_days`).

Since version 8 a row for those that came together; since version 3 there was one for each day."""

revision_table: Final = declare(
    _metadata,
    "certified_revision",
    {"meter": LargeBinary, "register": LargeBinary, "counter": BigInteger, "revision": Integer},
    {"digest": LargeBinary},
)
"""The revisions of corrected days, since version 6; 0 is the day as it was first certified."""

announcement_table: Final = declare(
    _metadata,
    "key_announcement",
    {"meter": LargeBinary, "place": Integer},
    {"encoded": LargeBinary},
)
"""The keys that certifiers have announced, since version 4."""

proposal_table: Final = declare(
    _metadata,
    "enrolment_proposal",
    {"meter": LargeBinary, "applet": LargeBinary},
    {"sealed": LargeBinary},
)
"""Enrolments with new channel keys that a hub may have by now or not, since version 4."""
log_head_table: Final = declare(
    _metadata,
    "hub_log_head",
    {"meter": LargeBinary},
    {"length": BigInteger, "digest": LargeBinary, "time": BigInteger},
)
"""The newest head of each hub's disclosure log that was seen, since version 4."""

contract_table: Final = declare(
    _metadata,
    "contract",
    {"account": LargeBinary},
    {"meter": LargeBinary, "first": String, "last": String},
)
"""From which local day to which a meter is a customer's, since version 5; `last` is "" while open.

A meter without a row has one contract for all days (`retail.contracts`).
"""
Index("ix_contract_meter", contract_table.c.meter)

carried_state_table: Final = declare(
    _metadata,
    "carried_state",
    {"meter": LargeBinary, "account": LargeBinary, "number": BigInteger},
    {"begin": BigInteger, "state": LargeBinary, "entry": BigInteger},
)
"""The states that bills with memory have left (`retail.carried_states`), since version 5."""

question_table: Final = declare(
    _metadata,
    "bill_question",
    {"nonce": LargeBinary},
    {
        "meter": LargeBinary,
        "begin": BigInteger,
        "end": BigInteger,
        "state": String,
        "changed": BigInteger,
        "address": String,
        "question": LargeBinary,
        "answer": LargeBinary,
        "entry": BigInteger,
    },
)
"""The questions for bills and how far each has come (`retail.questions`), since version 7."""
Index("ix_bill_question_state", question_table.c.state, question_table.c.changed)
Index("ix_bill_question_begin", question_table.c.begin, question_table.c.entry)
_IS_OPEN: Final = question_table.c.state.in_(("asked", "answered"))
Index(
    "ix_bill_question_open",
    question_table.c.meter,
    question_table.c.begin,
    question_table.c.end,
    unique=True,
    sqlite_where=_IS_OPEN,
    postgresql_where=_IS_OPEN,
)

answer_table: Final = declare(
    _metadata, "bill_answer", {"nonce": LargeBinary}, {"content": LargeBinary}
)
"""Answers that are not entered yet, since version 7; from then on they are evidence."""

aside_table: Final = declare(
    _metadata, "answer_aside", {"nonce": LargeBinary}, {"why": String, "time": BigInteger}
)
"""Answers that could not be worked on, by an error of ours, since version 8."""

invoice_table: Final = declare(
    _metadata,
    "invoice",
    {"number": BigInteger},
    {"nonce": LargeBinary, "document": LargeBinary, "void": LargeBinary},
)
"""The invoices as they were signed, since version 7."""
Index("ix_invoice_nonce", invoice_table.c.nonce, unique=True)

hub_certificate_table: Final = declare(
    _metadata,
    "hub_certificate",
    {"serial": LargeBinary},
    {
        "meter": LargeBinary,
        "issued": BigInteger,
        "ends": BigInteger,
        "withdrawn": BigInteger,
        "certificate": LargeBinary,
    },
)
"""The certificates with which hubs dial (`gateway.certificates`), since version 8; `withdrawn` is
0 while it counts."""
Index("ix_hub_certificate_meter", hub_certificate_table.c.meter)

rollout_table: Final = declare(
    _metadata,
    "rollout",
    {"number": BigInteger},
    {
        "kind": String,
        "name": String,
        "state": String,
        "why": String,
        "applet": LargeBinary,
        "package": LargeBinary,
        "version": LargeBinary,
        "digest": LargeBinary,
        "sizes": String,
        "stop_at": String,
        "enough": BigInteger,
        "rest": BigInteger,
        "wave": BigInteger,
        "opened": BigInteger,
        "made": BigInteger,
        "changed": BigInteger,
    },
)
"""Roll-outs over many hubs (`fleet.rollouts`); `wave` is the newest that is open, 0 before."""

rollout_load_table: Final = declare(
    _metadata, "rollout_load", {"digest": LargeBinary}, {"block": LargeBinary}
)
"""The load files of roll-outs, by the digest of their content."""

rollout_hub_table: Final = declare(
    _metadata,
    "rollout_hub",
    {"number": BigInteger, "meter": LargeBinary},
    {
        "wave": BigInteger,
        "state": String,
        "counts": BigInteger,
        "attempts": BigInteger,
        "before": LargeBinary,
        "not_before": BigInteger,
        "changed": BigInteger,
        "detail": String,
    },
)
"""How far each hub of a roll-out has come; `before` is the version and digest that was in place
when it was first looked at, and `counts` whether its failure counts towards the limit."""
Index(
    "ix_rollout_hub_state",
    rollout_hub_table.c.number,
    rollout_hub_table.c.wave,
    rollout_hub_table.c.state,
)

rollout_answer_table: Final = declare(
    _metadata,
    "rollout_answer",
    {"number": BigInteger, "meter": LargeBinary, "place": BigInteger},
    {"time": BigInteger, "goal": String, "state": String, "status": BigInteger, "detail": String},
)
"""Each answer of each hub, oldest first; `status` is the status word of a refusal, or 0."""


# The service (`utility_server.service`): who may ask it, what was asked, and its long runs.

api_key_table: Final = declare(
    _metadata,
    "api_key",
    {"identification": String},
    {
        "name": String,
        "digest": LargeBinary,
        "roles": String,
        "created": BigInteger,
        "expires": BigInteger,
        "revoked": BigInteger,
    },
)
"""Keys of systems; of the secret only its SHA-256. `expires` and `revoked` are 0 for never."""

operator_table: Final = declare(
    _metadata, "operator", {"name": String}, {"password": String, "roles": String, "epoch": String}
)
"""Who may sign in with a password (its Argon2id hash); a new `epoch` ends sessions."""

console_session_table: Final = declare(
    _metadata,
    "console_session",
    {"digest": LargeBinary},
    {
        "kind": String,
        "name": String,
        "roles": String,
        "epoch": String,
        "began": BigInteger,
        "seen": BigInteger,
    },
)
"""Browsers that have signed in, by the SHA-256 of their cookie."""

sign_in_table: Final = declare(
    _metadata,
    "sign_in",
    {"state": LargeBinary},
    {
        "browser": LargeBinary,
        "nonce": String,
        "verifier": String,
        "target": String,
        "began": BigInteger,
    },
)
"""Sign-ins that have gone to the identity provider and are not back; each is used once."""

sign_in_failure_table: Final = declare(
    _metadata, "sign_in_failure", {"source": String}, {"tries": BigInteger, "last": BigInteger}
)

audit_table: Final = declare(
    _metadata,
    "audit_entry",
    {"sequence": BigInteger},
    {"time": BigInteger, "body": LargeBinary, "digest": LargeBinary},
)
"""What was asked of the service, by whom; chained like the ledger."""

repeated_request_table: Final = declare(
    _metadata,
    "repeated_request",
    {"owner": String, "key": String},
    {
        "request": LargeBinary,
        "status": Integer,
        "media": String,
        "location": String,
        "content": LargeBinary,
        "began": BigInteger,
    },
)
"""What was answered to requests with an idempotency key; status 0 while one is worked on."""

registered_tariff_table: Final = declare(
    _metadata,
    "registered_tariff",
    {"digest": LargeBinary},
    {
        "name": String,
        "revision": BigInteger,
        "first": String,
        "last": String,
        "registered": BigInteger,
        "withdrawn": BigInteger,
        "document": LargeBinary,
    },
)

job_table: Final = declare(
    _metadata,
    "job",
    {"identification": String},
    {
        "kind": String,
        "owner": String,
        "state": String,
        "created": BigInteger,
        "changed": BigInteger,
        "parameters": LargeBinary,
        "done": BigInteger,
        "total": BigInteger,
        "result": LargeBinary,
        "holder": String,
        "lease": BigInteger,
    },
)
"""Long runs. `holder` is the process that works on it, until `lease` at most."""

bill_run_item_table: Final = declare(
    _metadata,
    "bill_run_item",
    {"job": String, "meter": LargeBinary, "begin": BigInteger, "end": BigInteger},
    {
        "state": String,
        "nonce": LargeBinary,
        "address": String,
        "tries": Integer,
        "due": BigInteger,
        "reason": String,
        "why": String,
        "entry": BigInteger,
    },
)
"""What a bill run has to do for a customer, and how far that is."""
Index("ix_bill_run_item_state", bill_run_item_table.c.job, bill_run_item_table.c.state)

customer_party_table: Final = declare(
    _metadata, "customer_party", {"account": LargeBinary}, {"sealed": LargeBinary}
)
"""Name and address of a contract's customer, for invoices that name him; sealed, and erasable."""

bill_schedule_table: Final = declare(
    _metadata,
    "bill_schedule",
    {"identification": String},
    {
        "name": String,
        "owner": String,
        "parameters": LargeBinary,
        "next": BigInteger,
        "is_on": Integer,
        "last_job": String,
    },
)
"""Bill runs that come again."""

client_certificate_table: Final = declare(
    _metadata,
    "client_certificate",
    {"fingerprint": String},
    {
        "name": String,
        "roles": String,
        "registered": BigInteger,
        "begins": BigInteger,
        "expires": BigInteger,
        "withdrawn": BigInteger,
        "certificate": LargeBinary,
    },
)
"""Certificates with which systems ask the service; `withdrawn` is 0 while one counts."""

operator_factor_table: Final = declare(
    _metadata, "operator_factor", {"name": String}, {"sealed": LargeBinary, "step": BigInteger}
)
"""Operators' second factors; `step` is that of the last code which was used."""

operator_recovery_table: Final = declare(
    _metadata, "operator_recovery", {"name": String, "digest": LargeBinary}, {}
)
"""Their recovery codes that are left, hashed."""


question_failure_table: Final = declare(
    _metadata,
    "question_failure",
    {"nonce": LargeBinary},
    {"state": String, "kind": String, "why": String, "time": BigInteger},
)
"""Why a question's hub did not do last what it was asked (`retail.failures`); `state` is what the
question was in then, and the row means nothing once it is in another."""

hub_delivery_table: Final = declare(
    _metadata,
    "hub_delivery",
    {"meter": LargeBinary},
    {
        "holder": String,
        "lease": BigInteger,
        "tries": BigInteger,
        "failed": BigInteger,
        "due": BigInteger,
    },
)
"""Hubs to which invoices are being delivered, or which were not reached (`retail.deliveries`)."""

claim_document_table: Final = declare(
    _metadata, "claim_document", {"digest": LargeBinary}, {"content": LargeBinary}
)
"""What runs over many customers ask under, an index or a request, by its SHA-256
(`retail.claim_runs`)."""

claim_item_table: Final = declare(
    _metadata,
    "claim_item",
    {"job": String, "meter": LargeBinary},
    {
        "kind": String,
        "supplier": String,
        "begin": BigInteger,
        "end": BigInteger,
        "state": String,
        "nonce": LargeBinary,
        "question": LargeBinary,
        "answer": LargeBinary,
        "address": String,
        "tries": BigInteger,
        "due": BigInteger,
        "reason": String,
        "why": String,
        "entry": BigInteger,
        "value": String,
        "missing": BigInteger,
    },
)
"""What such a run asks each customer's hub; question and answer are here until it is entered."""
Index("ix_claim_item_state", claim_item_table.c.job, claim_item_table.c.state)
Index("ix_claim_item_meter", claim_item_table.c.meter, claim_item_table.c.state)
Index("ix_claim_item_due", claim_item_table.c.state, claim_item_table.c.due)

implicit_account_table: Final = declare(
    _metadata, "implicit_account", {"account": LargeBinary}, {"meter": LargeBinary}
)
"""Of which meter the account of a contract is that nobody has opened (`retail.accounts`)."""
Index("ix_implicit_account_meter", implicit_account_table.c.meter)

name_token_table: Final = declare(
    _metadata,
    "customer_name_token",
    {"token": LargeBinary, "account": LargeBinary},
    {"meter": LargeBinary},
)
"""By what a contract's customer is found by name (`service.einvoice.name_index`); erasable."""
Index("ix_customer_name_token_account", name_token_table.c.account)


def _migrate(connection: Connection) -> None:
    """Bring a database of an earlier version to this one."""
    version = connection.execute(select(schema_table.c.version)).scalar_one()
    if version < 2:
        _know_several_applets(connection)
    _metadata.create_all(connection)  # the tables that came with later versions
    for index in question_table.indexes:
        index.create(connection, checkfirst=True)
    pack_old_days(connection, span_table)
    connection.execute(update(schema_table).values(version=SCHEMA_VERSION))


def _know_several_applets(connection: Connection) -> None:
    """Version 1 knew one applet of each hub, and of whom a ledger entry is only in the entry."""
    enrolment_table.create(connection)
    connection.exec_driver_sql(
        "INSERT INTO enrolment (meter, place, sealed) SELECT meter, 0, sealed FROM customer"
    )
    connection.exec_driver_sql("DROP TABLE customer")
    binary = LargeBinary().compile(connection.dialect)
    connection.exec_driver_sql(
        f"ALTER TABLE ledger_entry ADD COLUMN meter {binary} NOT NULL DEFAULT ''"
    )
    for row in connection.execute(select(ledger_table.c.sequence, ledger_table.c.body)).all():
        match decode_row(row.body):
            case [_, _, _, bytes(meter), *_]:
                entry = ledger_table.c.sequence == row.sequence
                connection.execute(update(ledger_table).where(entry).values(meter=meter))
    for index in ledger_table.indexes:
        index.create(connection)


@dataclass(frozen=True, slots=True)
class Schema:
    """A set of tables, the version table among them."""

    metadata: MetaData
    marker: str
    """A table that tells this database from another's."""
    owner: str
    version: int
    migrate: Callable[[Connection], None]
    """Brings a database of an earlier version to this one."""


UTILITY: Final = Schema(_metadata, ledger_table.name, "a utility", SCHEMA_VERSION, _migrate)


def open_database(
    location: Path | str | URL,
    schema: Schema = UTILITY,
    patience: float = PATIENCE_SECONDS,
    *,
    must_be_new: bool = False,
) -> Engine:
    """Open (and create where it is new) the database at a path or URL.

    A new file gets mode 0600. `patience` is how many seconds a transaction waits for another
    process's. Several may open an empty database at once: one makes it, the others find it made.
    Raises `StoreError`, having written nothing, where the database is something else or of a newer
    schema, or busy, or not reached; with `must_be_new` also where it holds anything.
    """
    if isinstance(location, Path):
        if not location.exists():
            location.touch(mode=0o600)
        location = URL.create("sqlite", database=str(location))
    engine = engine_of(make_url(location), patience)
    try:
        is_current = False
        if not must_be_new:
            with reading(engine) as connection:
                is_current = _is_current(connection, schema)
        if not is_current:  # whoever only looks waits for no one who writes
            with writing(engine) as connection:
                _check_schema(connection, schema, name_of(engine), must_be_new=must_be_new)
    except StoreError:
        engine.dispose()
        raise
    return engine


def _is_current(connection: Connection, schema: Schema) -> bool:
    tables = inspect(connection).get_table_names()
    versions = schema.metadata.tables[schema_table.name]
    if versions.name not in tables or schema.marker not in tables:
        return False
    if not schema.metadata.tables.keys() <= set(tables):
        return False  # made before this release was complete
    return connection.execute(select(versions.c.version)).scalars().all() == [schema.version]


def _check_schema(connection: Connection, schema: Schema, name: str, *, must_be_new: bool) -> None:
    tables, known = inspect(connection).get_table_names(), schema.metadata.tables
    versions = known[schema_table.name]
    if not tables:
        schema.metadata.create_all(connection)
        connection.execute(insert(versions).values(version=schema.version))
        return
    if must_be_new:
        raise StoreError(f"{name}: holds something already; name an empty database or schema")
    if versions.name not in tables or schema.marker not in tables:
        raise StoreError(f"{name}: not {schema.owner}'s database")
    version = connection.execute(select(versions.c.version)).scalar_one()
    if not isinstance(version, int) or version > schema.version:
        raise StoreError(
            f"{name}: its schema has version {version}, this release knows {schema.version}"
        )
    if version < schema.version or not known.keys() <= set(tables):
        schema.migrate(connection)
