# SPDX-License-Identifier: Apache-2.0
"""What the resident sees: the bill checked against the readings, and everything that left."""

from hub.inspection.appliances import Activation, Appliance, PowerCurve, detect
from hub.inspection.attack import AttackResult, AttackView, attack
from hub.inspection.bill import CheckedBill, Verdict, check_invoices
from hub.inspection.bucket import BandUse, Bucket, Peak, StateCounts
from hub.inspection.calendar import By, buckets, calendar_period, period_before
from hub.inspection.copies import Copy, CopyForm, copy_readings, record_bundle
from hub.inspection.documents import (
    SupplierDocuments,
    TariffBook,
    supplier_documents,
    tariff_book,
)
from hub.inspection.errors import InspectionError
from hub.inspection.estimates import (
    FORECAST_METHOD,
    Backtest,
    Forecast,
    Offer,
    bill_under,
    forecast,
    offers,
)
from hub.inspection.export import Export, consent_to_export, export_readings
from hub.inspection.money import Money
from hub.inspection.now import FineUse, PowerNow, fine_uses, power_now, today
from hub.inspection.proof import BillProofs, ProofCheck
from hub.inspection.readings import (
    Comparison,
    ReadingsView,
    compare,
    peak_of,
    readings_view,
    warm,
)
from hub.inspection.reconstruction import curve_known_to, curve_of_house
from hub.inspection.releases import (
    AggregateRecord,
    CopyRecord,
    ExportRecord,
    Field,
    OutgoingMessage,
    OutputRecord,
    RecordedRelease,
    RefusalRecord,
    ReleasesView,
    decode_message,
    outgoing_message,
    releases_view,
)
from hub.inspection.slots import Slots, local_date, slots_between
from hub.inspection.store import open_inspection
from hub.inspection.summaries import SUMMARY_COMPONENT, Summaries
from hub.inspection.tariff_views import PriceRow, TariffColumn, TariffTable, tariff_table
from hub.inspection.tokens import TOKEN_COMPONENT, Scope, Token, TokenRefused, Tokens

__all__ = [
    "FORECAST_METHOD",
    "SUMMARY_COMPONENT",
    "TOKEN_COMPONENT",
    "Activation",
    "AggregateRecord",
    "Appliance",
    "AttackResult",
    "AttackView",
    "Backtest",
    "BandUse",
    "BillProofs",
    "Bucket",
    "By",
    "CheckedBill",
    "Comparison",
    "Copy",
    "CopyForm",
    "CopyRecord",
    "Export",
    "ExportRecord",
    "Field",
    "FineUse",
    "Forecast",
    "InspectionError",
    "Money",
    "Offer",
    "OutgoingMessage",
    "OutputRecord",
    "Peak",
    "PowerCurve",
    "PowerNow",
    "PriceRow",
    "ProofCheck",
    "ReadingsView",
    "RecordedRelease",
    "RefusalRecord",
    "ReleasesView",
    "Scope",
    "Slots",
    "StateCounts",
    "Summaries",
    "SupplierDocuments",
    "TariffBook",
    "TariffColumn",
    "TariffTable",
    "Token",
    "TokenRefused",
    "Tokens",
    "Verdict",
    "attack",
    "bill_under",
    "buckets",
    "calendar_period",
    "check_invoices",
    "compare",
    "consent_to_export",
    "copy_readings",
    "curve_known_to",
    "curve_of_house",
    "decode_message",
    "detect",
    "export_readings",
    "fine_uses",
    "forecast",
    "local_date",
    "offers",
    "open_inspection",
    "outgoing_message",
    "peak_of",
    "period_before",
    "power_now",
    "readings_view",
    "record_bundle",
    "releases_view",
    "slots_between",
    "supplier_documents",
    "tariff_book",
    "tariff_table",
    "today",
    "warm",
]
