# SPDX-License-Identifier: Apache-2.0
"""Tariffs with memory of every kind, drawn from a seed."""

from random import Random

from tariffs import Tariff
from tariffs.source import load_toml

YEARLY = ('"year"', "carry", "per_year")
BAND = """[[charge.band]]
name = "day"
{day}
when = {{ times = "06:00-22:00" }}
[[charge.band]]
name = "night"
{night}
"""


def drawn_source(seed: int, zone: str = "Europe/Berlin") -> str:
    """Two versions from 2025 on, the second from July 2025 with other prices; valid to 2028."""
    dice = Random(seed)
    begins = dice.choice(["01-01", "04-01", "10-01"])
    heading = f"""format = 1
name = "drawn-{seed}"
revision = 1
currency = "EUR"
zone = "{zone}"
rounding = {{ rule = "{dice.choice(["half-up", "half-even", "down"])}", decimals = 2 }}
"""
    shape = dice.getrandbits(64)
    versions = [
        ("2025-01-01", "2025-07-01", _components(Random(shape), dice)),
        ("2025-07-01", "2028-01-01", _components(Random(shape), dice)),
    ]
    if any(word in versions[0][2] for word in YEARLY):
        heading += f'year_begins = "{begins}"\n'
    return heading + "".join(
        f"[[version]]\nvalid_from = {first}\nvalid_until = {until}\n{body}"
        for first, until, body in versions
    )


def drawn_tariff(seed: int, zone: str = "Europe/Berlin") -> Tariff:
    """A tariff with at least one charge that looks back or counts on."""
    return load_toml(drawn_source(seed, zone))


def _components(shape: Random, dice: Random) -> str:
    """Components whose kinds come from `shape`, and whose prices from `dice`."""
    charges = [
        _charge("power", "demand", _look_back(shape), _power(dice), shape, dice),
        _charge("tax bands", "blocks", _counting(shape), _blocks(dice), shape, dice),
        _charge("netted", "net", _netting(shape), _net(dice), shape, dice),
    ]
    kept = shape.sample(charges, shape.randint(1, 3))
    kept.append(
        f'[[version.charge]]\nname = "base"\nkind = "standing"\nper_day = "{_price(dice)}"\n'
    )
    steps = []
    if shape.random() < 0.5:
        kind = shape.choice(["cap", "minimum"])
        steps.append(
            f'[[version.step]]\nname = "of the year"\nkind = "{kind}"\ncumulative = true\n'
            f'per_year = "{dice.randint(100, 3000)}"\n'
        )
    steps.append(
        f'[[version.step]]\nname = "VAT"\nkind = "tax"\npercent = "{dice.randint(0, 250) / 10}"\n'
    )
    settlements = [
        "",
        'kind = "credit"\n',
        'kind = "credit"\nsettled = "year"\n',
        f'kind = "instalment"\nper_month = "{dice.randint(20, 200)}"\ntrue_up = "year"\n',
    ]
    if settlement := settlements[shape.randrange(4)]:
        steps.append(f'[[version.step]]\nname = "settled"\n{settlement}')
    return "".join([*kept, *steps])


def _charge(
    name: str, kind: str, rule: str, values: tuple[str, str], shape: Random, dice: Random
) -> str:
    head = f'[[version.charge]]\nname = "{name}"\nkind = "{kind}"\n{rule}'
    if shape.random() < 0.5:
        return f"{head}{values[0]}\n"
    bands = BAND.format(day=values[0], night=values[1])
    return head + bands.replace("[[charge", "[[version.charge")


def _price(dice: Random, low: int = 0) -> str:
    number = dice.randint(low, 600_000)
    return f"{'-' * (number < 0)}0.{abs(number):06}"


def _look_back(shape: Random) -> str:
    rule = shape.choice(["mean", "highest"])
    text = f'interval = "month"\nlook_back = {shape.randint(1, 12)}\nlook_back_rule = "{rule}"\n'
    if rule == "highest":
        text += f'look_back_share = "{shape.randint(30, 100)}"\n'
    if shape.random() < 0.3:
        text += 'look_back_within = "year"\n'
    return text + f'floor_kw = "{shape.randint(0, 3)}"\n'


def _power(dice: Random) -> tuple[str, str]:
    return f'price_per_kw = "{dice.randint(1, 9)}.5"', f'price_per_kw = "{dice.randint(1, 9)}.25"'


def _counting(shape: Random) -> str:
    return f'interval = "{shape.choice(["month", "quarter", "year"])}"\ncumulative = true\n'


def _blocks(dice: Random) -> tuple[str, str]:
    def blocks() -> str:
        limits = sorted(dice.sample(range(100, 6000), dice.randint(1, 3)))
        inner = [f'{{ up_to = "{limit}", price = "{_price(dice)}" }}' for limit in limits]
        return f'block = [{", ".join(inner)}, {{ price = "{_price(dice)}" }}]'

    return blocks(), blocks()


def _netting(shape: Random) -> str:
    intervals = ["month", "quarter", "year"]
    counted = [f'interval = "{one}"\ncumulative = true\n' for one in intervals]
    return shape.choice([*counted, "carry = true\n", 'interval = "month"\n'])


def _net(dice: Random) -> tuple[str, str]:
    def net() -> str:
        return f'price = "{_price(dice)}"\ncredit_price = "{_price(dice)}"'

    return net(), net()
