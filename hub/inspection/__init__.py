# SPDX-License-Identifier: Apache-2.0
"""What the resident sees: the bill checked against the readings, and everything that left."""

from hub.inspection.api.tokens import TOKEN_COMPONENT, Scope, Token, TokenRefused, Tokens
from hub.inspection.attack.appliances import Activation, Appliance, PowerCurve, detect
from hub.inspection.attack.attack import AttackResult, AttackView, attack
from hub.inspection.attack.reconstruction import curve_known_to, curve_of_house
from hub.inspection.errors import InspectionError
from hub.inspection.export.by_consent import Export, consent_to_export, export_readings
from hub.inspection.export.copies import Copy, CopyForm, copy_readings, record_bundle
from hub.inspection.store import open_inspection
from hub.inspection.views.bill import CheckedBill, Verdict, check_invoices
from hub.inspection.views.bucket import BandUse, Bucket, Peak, StateCounts
from hub.inspection.views.bucket_cache import SUMMARY_COMPONENT, Summaries
from hub.inspection.views.calendar import By, buckets, calendar_period, period_before
from hub.inspection.views.documents import (
    SupplierDocuments,
    TariffBook,
    supplier_documents,
    tariff_book,
)
from hub.inspection.views.estimates import (
    FORECAST_METHOD,
    Backtest,
    Forecast,
    Offer,
    bill_under,
    forecast,
    offers,
)
from hub.inspection.views.live import FineUse, PowerNow, fine_uses, power_now, today
from hub.inspection.views.money import Money
from hub.inspection.views.proof import BillProofs, ProofCheck
from hub.inspection.views.readings import (
    Comparison,
    ReadingsView,
    compare,
    peak_of,
    readings_view,
    warm,
)
from hub.inspection.views.releases import (
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
from hub.inspection.views.slots import Slots, local_date, slots_between
from hub.inspection.views.tariff_views import PriceRow, TariffColumn, TariffTable, tariff_table

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
