# SPDX-License-Identifier: Apache-2.0
"""A made-up day in the shape of what suppliers, meters and programs give out; nobody's data."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

DAY: Final = datetime(2025, 3, 1, tzinfo=UTC)
QUARTER: Final = timedelta(minutes=15)
USES: Final = tuple(Decimal(5 + quarter % 7) / 100 for quarter in range(96))
"""In kWh; no value of a day is like its neighbours, and none of them rises all day."""
TOTAL_WH: Final = int(sum(USES) * 1000)


def quarters() -> Iterator[tuple[datetime, datetime, Decimal]]:
    """Yield begin, end and use of each quarter-hour."""
    for number, use in enumerate(USES):
        yield DAY + number * QUARTER, DAY + (number + 1) * QUARTER, use


def comma(value: Decimal) -> str:
    """Return a number as it is written in most of Europe."""
    return str(value).replace(".", ",")


def lines(header: str, row: Callable[[datetime, datetime, Decimal], str]) -> str:
    """Return a header and a row for each quarter."""
    return "\n".join([header, *(row(*quarter) for quarter in quarters())]) + "\n"


def registers() -> Iterator[tuple[datetime, Decimal]]:
    """Yield what a register shows at each end of a quarter, beginning with the day."""
    shown = Decimal("12345.678")
    yield DAY, shown
    for _, end, use in quarters():
        shown += use
        yield end, shown


PLAIN: Final = lines("start,kWh", lambda b, e, u: f"{b:%Y-%m-%dT%H:%M:%S},{u}")
EXCEL: Final = lines("Zeit;kWh", lambda b, e, u: f"{b:%d.%m.%Y %H:%M};{comma(u)}")
FLOATS: Final = lines("start,kWh", lambda b, e, u: f"{b:%Y-%m-%dT%H:%M:%S},{u}000000000001")
REGISTER: Final = "start,kWh\n" + "".join(
    f"{time:%Y-%m-%dT%H:%M:%S},{shown}\n" for time, shown in registers()
)
PGE: Final = (
    'Name,JANE DOE\nAddress,"1 MAIN ST"\nAccount Number,123\nService,Service 1\n\n'
) + lines(
    "TYPE,DATE,START TIME,END TIME,USAGE (kWh),COST,NOTES",
    lambda b, e, u: (
        f"Electric usage,{b:%Y-%m-%d},{b:%H:%M},{e - timedelta(minutes=1):%H:%M},{u},$0.05,"
    ),
)
OCTOPUS: Final = lines(
    "Consumption (kwh), Estimated Cost Inc. Tax (p), Start, End",
    lambda b, e, u: f"{u},1.2,{b.isoformat()},{e.isoformat()}",
)
DSMR: Final = "read_at,delivered_1,delivered_2\n" + "".join(
    f"{time.isoformat()},{shown},200\n" for time, shown in registers()
)
FLUVIUS: Final = lines(
    "Van (datum);Van (tijdstip);Tot (datum);Tot (tijdstip);EAN-code;Meter;Metertype;Register;"
    "Volume;Eenheid;Validatiestatus;Omschrijving",
    lambda b, e, u: "\n".join(
        f"{b:%d-%m-%Y;%H:%M:%S};{e:%d-%m-%Y;%H:%M:%S};541;1SAG;Digitale meter;{register};"
        f"{volume};{unit};Uitgelezen;"
        for register, volume, unit in (
            ("Afname Dag" if 7 <= b.hour < 22 else "Afname Nacht", comma(u), "kWh"),
            ("Injectie Dag" if 7 <= b.hour < 22 else "Injectie Nacht", "0,001", "kWh"),
            ("Afname Reactief", "0,3", "kVArh"),
        )
    ),
)
ENEDIS: Final = (
    "Identifiant PRM;Type de donnees;Date de debut;Date de fin;Grandeur physique;"
    "Grandeur metier;Etape metier;Unite\n"
    "00000000000000;Courbe de charge;01/03/2025;02/03/2025;Energie active;Consommation;"
    "Comptage Brut;W\n"
) + lines("Horodate;Valeur", lambda b, e, u: f"{e.isoformat()};{u * 4000:.0f}")
NEM12: Final = (
    "100,NEM12,202503020900,MDP1,RETAILER1\n"
    "200,NEM1201009,E1B1Q1,1,E1,N1,01009,kWh,15,\n"
    f"300,20250301,{','.join(map(str, USES))},A,,,20250302090000,\n"
    "200,NEM1201009,E1B1Q1,2,B1,N2,01009,kWh,15,\n"
    f"300,20250301,{','.join(['0.002'] * 96)},A,,,20250302090000,\n"
    "200,NEM1201009,E1B1Q1,3,Q1,N3,01009,kVArh,15,\n"
    f"300,20250301,{','.join(['0.5'] * 96)},A,,,20250302090000,\n"
    "900\n"
)
_HOURS: Final = [sum(USES[4 * hour : 4 * hour + 4]) for hour in range(24)]
DASHBOARD: Final = (
    "entity_id,type,unit,"
    + ",".join(f"{DAY + timedelta(hours=h):%Y-%m-%dT%H:%M:%S.000Z}" for h in range(24))
    + "\nsensor.low,grid_consumption,kWh,"
    + ",".join(str(use) if h < 7 else "" for h, use in enumerate(_HOURS))
    + "\nsensor.high,grid_consumption,kWh,"
    + ",".join("" if h < 7 else str(use) for h, use in enumerate(_HOURS))
    + "\nsensor.cost,grid_consumption_cost,EUR,"
    + ",".join(["0.1"] * 24)
    + "\nsensor.back,grid_return,Wh,"
    + ",".join(["3"] * 24)
    + "\n"
)
HISTORY: Final = "entity_id,state,last_changed\n" + "".join(
    f"sensor.meter,{shown},{time:%Y-%m-%dT%H:%M:%S.123Z}\n"
    + ("sensor.meter,unavailable,2025-03-01T02:00:10.000Z\n" if time.hour == 2 and not time.minute
       else "")
    for time, shown in registers()
)  # fmt: skip
DAY_ROWS: Final = (
    "Datum;"
    + ";".join(f"{b:%H:%M}" for b, _, _ in quarters())
    + f"\n{DAY:%d.%m.%Y};"
    + ";".join(comma(use) for use in USES)
    + "\n"
)
GREEN_BUTTON: Final = (
    '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><entry><content>'
    '<IntervalBlock xmlns="http://naesb.org/espi"><interval><duration>86400</duration>'
    f"<start>{DAY.timestamp():.0f}</start></interval>"
    + "".join(
        "<IntervalReading><timePeriod><duration>900</duration>"
        f"<start>{b.timestamp():.0f}</start></timePeriod><value>{u * 1000:.0f}</value>"
        "</IntervalReading>"
        for b, _, u in quarters()
    )
    + "</IntervalBlock></content></entry></feed>"
)
