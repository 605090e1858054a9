# SPDX-License-Identifier: Apache-2.0
"""`meterlet tariff`: check, show, sign, import tariffs, and price readings with them."""

import errno
import os
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

import rich_click as click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.meters.files.opened import FileReport
from hub.meters.fuse import DEFAULT_FLOWS, DEFAULT_FUSE, FlowLimit
from hub.meters.replay import CsvReplay
from hub.text import counted, missing_in_words, utc_text
from meterlet.commands.amount import Amount, require_decimals
from meterlet.commands.common import (
    Exit,
    Shown,
    days_options,
    fail,
    json_option,
    json_or_text,
    period_options,
    print_json,
)
from meterlet.commands.file_options import FileChoice, file_options, say_report
from meterlet.commands.tariff_files import PROBLEMS, errors_at, problem, write_new
from meterlet.commands.tariff_tables import print_bill, print_tariff
from meterlet.commands.zones import days_of_another_clock, say_notes
from meterlet.key_files import private_key, private_pem, public_key, public_pem
from meterlet.priced_readings import (
    LoadedTariff,
    drawn_and_fed_in,
    price_each,
    price_use,
    read_bytes,
    read_tariff,
    read_use,
)
from protocols.canonical.signing import key_id_of
from protocols.metrology import Medium, Period
from sml_codec import Obis
from tariffs import Bill, Tariff, TariffError
from tariffs import Medium as TariffMedium
from tariffs.ar2418 import open_ends, read_meter_series, read_stage_tariff, register_amounts
from tariffs.clock import ZoneClock, day_number
from tariffs.importers import IMPORTERS
from tariffs.importers._writing import slug
from tariffs.importers.transcribed import import_transcribed
from tariffs.periods import Interval
from tariffs.signing import sign_tariff

FILE: Final = click.Path(path_type=Path)
EACH: Final = {one.value: one for one in Interval if one is not Interval.PERIOD}

key_option = click.option(
    "--key", "signer", type=FILE, help="Public key (PEM) of the tariff's signer."
)


@click.group()
def tariff() -> None:
    """Check, show, sign and apply tariffs."""


@tariff.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=FILE,
    help="Tariffs: sources, documents or signed documents.",
)
@key_option
@click.option(
    "--private",
    "is_private",
    is_flag=True,
    help="Also say whether hubs will answer private bills under it, month by month or of a period.",
)
@period_options(required=False, about="With --private: ")
@click.option(
    "--slot",
    "slot_minutes",
    type=click.Choice(["5", "15", "30", "60"]),
    default="15",
    show_default=True,
    help="With --private: minutes of the meters' slots.",
)
@json_option
@click.pass_context
def check(
    context: click.Context,
    files: tuple[Path, ...],
    signer: Path | None,
    is_private: bool,
    period: Period | None,
    slot_minutes: str,
    as_json: bool,
) -> None:
    """Check tariff FILES: sources, documents or signed documents.

    Every file is checked; the exit code is that of the worst: 0 all are fine, 1 one is not a
    tariff, 3 a signature is wrong, 5 hubs will refuse the bill of a month.
    """
    if period is not None and not is_private:
        raise click.UsageError("a period goes with --private")
    results: list[dict[str, Any]] = []
    worst = 0
    for path in files:
        try:
            found = _load(path, signer)
        except PROBLEMS as error:
            message, code = problem(error, path)
            worst = max(worst, int(code))
            if not as_json:
                click.echo(f"meterlet: {message}", err=True)
            results.append({"file": str(path), "ok": False, "error": message})
            continue
        result = {"file": str(path), "ok": True, **found.heading()}
        results.append(result)
        if found.notes:
            result["notes"] = list(found.notes)
        if not as_json:
            click.echo(f"{path}: ok: {found.summary()}")
        for note in found.notes:
            click.echo(f"meterlet: {path}: {note}", err=True)
        if is_private:
            result["private"] = bills = _private(found, period, int(slot_minutes), as_json)
            if not all(one["answered"] for one in bills):
                worst = max(worst, int(Exit.FORBIDDEN))
    if as_json:
        print_json("meterlet.tariff.check/1", {"files": results})
    context.exit(worst)


def _private(
    found: LoadedTariff, period: Period | None, slot_minutes: int, as_json: bool
) -> list[dict[str, Any]]:
    """Return, and print where text is wanted, which periods' bills hubs will answer."""
    from meterlet.commands import private_check  # what it takes is more than tariffs do

    if period is None:
        checked = private_check.private_months(found.tariff, slot_minutes)
    else:
        checked = iter((private_check.private_period(found.tariff, period, slot_minutes),))
    bills = []
    for bill in checked:
        bills.append(one := bill.as_json())
        if as_json:
            continue
        if one["answered"]:
            text = (
                f"answered under {private_check.CONSENT_WORDS[one['consent']]},"
                f" {counted(one['bits'], 'bit')}"
            )
        else:
            text = "refused"
        click.echo(f"  {bill.period}: {text}")
        if one["rule"]:
            click.echo(f"           {one['rule']}: {one['reason']}")
            click.echo(f"           {one['change']}")
    if not (bills or as_json):
        click.echo("  it prices no calendar month whole: say which period with --from and --until")
    return bills


def _load(path: Path, signer: Path | None) -> LoadedTariff:
    return read_tariff(path, None if signer is None else public_key(signer))


def _plain(value: object) -> object:
    """Return a document's tree for JSON: byte strings as hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


@tariff.command()
@click.argument("file", type=FILE, help="A tariff: its source, its document or a signed document.")
@key_option
@json_or_text("meterlet.tariff.show/1")
def show(file: Path, signer: Path | None) -> Shown:
    """Show what the tariff FILE charges."""
    with errors_at(file):
        found = _load(file, signer)
    facts = {**found.heading(), "document": _plain(found.tariff.canonical())}
    return facts, lambda: print_tariff(found.tariff, found.summary())


@tariff.command()
@click.argument(
    "tariff_file",
    metavar="TARIFF",
    type=FILE,
    help="A tariff: its source, its document or a signed document.",
)
@click.argument("readings", type=FILE, help="A file of readings.")
@file_options(fed_in="--export-column")
@click.option("--slots/--no-slots", default=True, help="With --json: list what every slot adds.")
@click.option(
    "--each",
    type=click.Choice(list(EACH)),
    help="Price a bill for each of these, one going on from the other.",
)
@click.option(
    "--paid",
    type=Amount(),
    default="0",
    help="Paid in advance of each bill, where the tariff has a credit.",
)
@click.option(
    "--last-bill", "is_last", is_flag=True,
    help="The contract ends with the period: its last bill settles what earlier ones left open.",
)  # fmt: skip
@days_options()
@key_option
@json_option
def price(
    tariff_file: Path,
    readings: Path,
    slots: bool,
    each: str | None,
    paid: int,
    is_last: bool,
    first: date | None,
    last: date | None,
    signer: Path | None,
    choice: FileChoice,
    as_json: bool,
) -> None:
    """Bill the file READINGS under TARIFF, exactly.

    READINGS is CSV, or a file of another format (docs/readings.md). Without a period the bill is
    for all of it. Days are those of the tariff's zone. Slots without a reading are listed, not
    guessed: such a bill is provisional, and the exit code is 4. The first bill is that of a new
    contract: nothing is carried to it.
    """
    with errors_at(tariff_file):
        tariff = _load(tariff_file, signer).tariff
        begin, end = _bounds(ZoneClock(tariff.zone), first, last)
    require_decimals(paid, tariff.rounding)
    with errors_at(readings):
        report = FileReport()
        replays = drawn_and_fed_in(
            partial(_replay, choice, readings, tariff), choice.columns, choice.feed_in_columns
        )
        use = read_use(replays, begin, end, report)
        starts = list(use.drawn_wh)
        whole = starts[0], starts[-1] + use.interval_seconds
        is_assumed = report.clock.assumed is not None
        notes = (
            days_of_another_clock(*whole, tariff.zone, is_assumed=is_assumed)
            if begin is None and end is None
            else []
        )
        listed = slots and as_json
        if each is None:
            bills = [price_use(tariff, use, begin, end, by_slot=listed, paid=paid, is_last=is_last)]
        else:
            bills = price_each(
                tariff, use, begin, end, EACH[each], by_slot=listed, paid=paid, is_last=is_last
            )
    if each is None and as_json:
        facts = {**_bill_facts(bills[0]), "readings": report.as_json(), "notes": notes}
        print_json("meterlet.tariff.price/1", facts)
    elif as_json:
        facts = {
            "bills": [_bill_facts(bill) for bill in bills],
            "readings": report.as_json(),
            "notes": notes,
        }
        print_json("meterlet.tariff.prices/1", facts)
    else:
        for bill in bills:
            print_bill(bill, tariff)
    say_report(str(readings), report)
    say_notes([] if as_json else notes)
    missing = sum(len(bill.missing_slots) for bill in bills)
    if missing:
        fail(f"provisional: {missing_in_words(missing)} and not billed", Exit.UNVERIFIABLE)


def _bill_facts(bill: Bill) -> dict[str, object]:
    return {**bill.as_json(), "provisional": not bill.complete}


def _replay(
    choice: FileChoice, path: Path, tariff: Tariff, columns: dict[bytes, tuple[str, ...]],
    optional: frozenset[bytes],
) -> CsvReplay:  # fmt: skip
    medium = _METERED[tariff.medium]
    fuse = (
        DEFAULT_FUSE if medium is Medium.ELECTRICITY else FlowLimit(DEFAULT_FLOWS[medium], medium)
    )
    return choice.replay(path, columns, tariff.zone, optional, fuse=fuse, medium=medium)


_METERED: Final = {
    TariffMedium.ELECTRICITY: Medium.ELECTRICITY,
    TariffMedium.GAS: Medium.GAS,
    TariffMedium.WATER: Medium.COLD_WATER,
    TariffMedium.HEAT: Medium.HEAT,
}
"""What a meter measures that a tariff is for."""


def _bounds(
    clock: ZoneClock, first: date | None, last: date | None
) -> tuple[int | None, int | None]:
    """Return the first second of `first` and the second after `last`, each None if it is."""
    begin = None if first is None else clock.day_begin(day_number(first))
    end = None if last is None else clock.day_begin(day_number(last) + 1)
    return begin, end


@tariff.command()
@click.argument("file", type=FILE, help="A tariff: its source, its document or a signed document.")
@click.option(
    "--key", "key", required=True, type=FILE, help="Private key (PEM) of `meterlet tariff keygen`."
)
@click.option("--out", required=True, type=FILE, help="File to create.")
@click.option("--dry-run", is_flag=True, help="Do all but write.")
@json_or_text("meterlet.tariff.sign/1")
def sign(file: Path, key: Path, out: Path, dry_run: bool) -> Shown:
    """Compile the tariff FILE and sign it: COSE_Sign1 with Ed25519."""
    with errors_at(file):
        secret = private_key(key)
        found = read_tariff(file)
        key_id = key_id_of(secret.public_key())
        document = sign_tariff(found.tariff, secret, key_id)
    with errors_at(out):
        if not dry_run:
            write_new(out, document, 0o644)
    facts = {
        **LoadedTariff(found.tariff, "verified", key_id.hex()).heading(),
        "bytes": len(document),
        "file": None if dry_run else str(out),
    }
    done = "would write" if dry_run else "wrote"
    line = f"{done} {out}: {found.tariff.name}, {len(document)} bytes, key {key_id.hex()}"
    return facts, line


@tariff.command()
@click.option(
    "--out",
    required=True,
    type=FILE,
    help="Private key to create (mode 0600); the public one gets the suffix .pub.",
)
@json_or_text("meterlet.tariff.keygen/1")
def keygen(out: Path) -> Shown:
    """Create a key pair for signing tariffs; existing files are left alone."""
    secret = Ed25519PrivateKey.generate()
    public = out.with_name(f"{out.name}.pub")
    with errors_at(out):
        if public.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(public))
        write_new(out, private_pem(secret), 0o600)
        write_new(public, public_pem(secret.public_key()), 0o644)
    key_id = key_id_of(secret.public_key()).hex()
    files = {"private_key": str(out), "public_key": str(public)}
    return {**files, "key_id": key_id}, f"wrote {out} (keep it secret) and {public}, key {key_id}"


@tariff.command("import")
@click.argument(
    "form", metavar="FORMAT", type=click.Choice(sorted(IMPORTERS)), help="Whose form FILE has."
)
@click.argument("file", type=FILE, help="A tariff: its source, its document or a signed document.")
@click.option("--name", help="Only the tariff of this name, or whose name begins so.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="What FILE lacks.")
@click.option("--out", type=FILE, help="Folder for the sources; else one is printed, or a list.")
@json_option
def import_(
    form: str,
    file: Path,
    name: str | None,
    settings: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Turn another project's tariff FILE into TOML sources.

    Every source is checked. A tariff of which a part cannot be said is left out, and named. Files
    that exist are left alone.
    """
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set {setting}: write KEY=VALUE")
        options[key] = value
    with errors_at(file):
        importer = IMPORTERS[form]
        if importer is import_transcribed:
            options["files"] = lambda named: read_bytes(file.parent / named).decode("utf-8-sig")
        try:
            sources = importer(read_bytes(file).decode("utf-8-sig"), **options)
        except (TypeError, UnicodeDecodeError) as error:
            raise TariffError(f"cannot be imported so: {error}") from None
        chosen = {key: text for key, text in sources.items() if key.startswith(name or "")}
        left_out = {key: why for key, why in sources.left_out.items() if key.startswith(name or "")}
        if not chosen and left_out:
            key, why = next(iter(left_out.items()))
            raise TariffError(f"{key} cannot be imported: {why}")
        if not chosen:
            raise TariffError(f"no tariff {name!r}; there are {', '.join(sources)}")
    for key, why in left_out.items():
        click.echo(f"meterlet: {file}: {key} is left out: {why}", err=True)
    written = {}
    if out is not None:
        with errors_at(out):
            out.mkdir(parents=True, exist_ok=True)
            for key, text in chosen.items():
                path = out / f"{slug(key)}.toml"
                write_new(path, text.encode(), 0o644)
                written[key] = str(path)
    if as_json:
        sources_json = [{"name": key, "file": written.get(key)} for key in chosen]
        print_json("meterlet.tariff.import/1", {"sources": sources_json, "left_out": left_out})
    elif len(chosen) == 1 and out is None:
        click.echo(next(iter(chosen.values())), nl=False)
    else:
        for key in chosen:
            click.echo(written.get(key, key))


@tariff.command()
@click.argument(
    "supplier",
    type=FILE,
    help="The supplier's file: which registers there are, and when each counts.",
)
@click.argument("readings", type=FILE, help="A file of readings.")
@click.option("--as-trudi", is_flag=True, help="Count a day's last entry as TRuDI 1.0 does.")
@days_options()
@json_option
def registers(
    supplier: Path,
    readings: Path,
    as_trudi: bool,
    first: date | None,
    last: date | None,
    as_json: bool,
) -> None:
    """Derive the registers of a TAF 1 or 2 tariff from a gateway's READINGS.

    SUPPLIER and READINGS are files of VDE-AR-E 2418-6. Energy that belongs to no one stage is in
    register 63. Without a period it is that of SUPPLIER. Days are those of Europe/Berlin. Exit code
    4: a valid reading is missing at the period's begin or end, so energy is in no register.
    """
    with errors_at(supplier):
        stages = read_stage_tariff(read_bytes(supplier), as_trudi=as_trudi)
    with errors_at(readings):
        series = read_meter_series(read_bytes(readings))
        times = [value.time for one in series for value in one.values]
        if not times:
            raise TariffError("no readings")
        begin, end = _bounds(ZoneClock("Europe/Berlin"), first, last)
        said = stages.period if begin is None and end is None else None
        usual = said or (min(times), max(times))
        begin, end = usual[0] if begin is None else begin, usual[1] if end is None else end
        amounts = register_amounts(stages, series, begin, end)
        ends = open_ends(series, begin, end) if stages.use_case != 1 else []
        scalers = {one.obis[4:6]: one.scaler for one in series}
    found = [
        {
            "obis": str(Obis(bytes.fromhex(obis))),
            "amount": amount,
            "scaler": scalers.get(obis[4:6], 0),
        }
        for obis, amount in sorted(amounts.items())
    ]
    lines = [f"{one['obis']}  {one['amount']} x 10^{one['scaler']} Wh" for one in found]
    missing = [
        {"obis": str(Obis(bytes.fromhex(obis))), "from": utc_text(since), "until": utc_text(until)}
        for obis, since, until in ends
    ]
    facts = {"from": utc_text(begin), "until": utc_text(end), "registers": found}
    if missing:
        facts["unread"] = missing
    if as_json:
        print_json("meterlet.tariff.registers/1", facts)
    else:
        for line in lines:
            click.echo(line)
    if missing:
        texts = [f"{one['obis']} from {one['from']} to {one['until']}" for one in missing]
        fail(f"{readings}: no valid reading: {'; '.join(texts)}", Exit.UNVERIFIABLE)
