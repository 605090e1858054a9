# SPDX-License-Identifier: Apache-2.0
"""What somebody has learned, in sentences for laymen: command, pages, terminal and interface.

First what it has, then what it could work out from that at most. Both are made from the record
alone (`hub.inspection.views.learned`).
"""

from dataclasses import replace
from typing import Final

from babel.lists import format_list

from hub.inspection.locales.catalogue import Catalogue
from hub.inspection.views.learned import Learned, Span

MINUTE: Final = 60
HOUR: Final = 3_600
LONGEST_DAY: Final = 25 * HOUR
UNITS: Final = {15: "quarters", 30: "halves", 60: "hours", 1440: "days"}
"""What stretches of so many minutes are called."""
FED_IN: Final = "1-0:2.8.0*255"


def learned_in_words(learned: Learned, words: Catalogue) -> str:
    """Return what a recipient, or all of them together, has and could work out at most."""
    words = replace(words, prefix="")
    if learned.parts:
        said = [_of_meter(part, words) for part in learned.parts]
        return " ".join([*said, words.t("learned.apart")])
    who = _who(learned, words)
    has = _has(learned, words)
    if not has:
        return words.t("learned.nothing", who=who)
    listed = format_list(has, locale=words.locale)
    knows = "learned.knows" if learned.recipient else "learned.all_know"
    return " ".join([words.t(knows, who=who, what=listed), *_at_most(learned, words)])


def _of_meter(learned: Learned, words: Catalogue) -> str:
    """Return what was learned of one meter, after its name where it is a further one."""
    if learned.meter is None:
        return learned_in_words(learned, words)
    about = learned.meter.about
    name = words.your_meter(learned.meter.name, about.medium)
    text = learned_in_words(learned, words.for_meter(about))
    return words.t("learned.about_meter", meter=name, text=text)


def _who(learned: Learned, words: Catalogue) -> str:
    name = learned.recipient
    if not name:
        return words.t("learned.together")
    return words.t("learned.named", name=name) if name.islower() else name


def _has(learned: Learned, words: Catalogue) -> list[str]:
    """Return what it has, part by part."""
    parts = []
    if learned.numbers and learned.span is not None:
        values = {"about": _about(learned, words), "span": _span(learned.span, words)}
        bits = words.n("learned.bits", learned.bits)
        parts.append(words.n("learned.numbers", learned.numbers, **values, bits=bits))
    for had in (*learned.samples, *learned.exports):
        values = {"unit": unit_in_words(had.seconds, words), "span": _span(had.span, words)}
        parts.append(words.n("learned.readings", had.count, **values))
    for out in learned.outputs:
        values = {
            "output": out.output,
            "unit": unit_in_words(out.seconds, words),
            "bits": words.n("learned.bits", out.bits),
        }
        parts.append(words.n("learned.outputs", out.times, **values))
    if learned.gaps is not None:
        values = {
            "span": _span(learned.gaps.span, words),
            "bits": words.n("learned.bits", learned.gaps.bits),
        }
        parts.append(words.n("learned.gaps", learned.gaps.count, **values))
    if learned.sums is not None:
        households = words.number(learned.sums.households)
        parts.append(words.n("learned.sums", learned.sums.count, households=households))
    return parts


def _at_most(learned: Learned, words: Catalogue) -> list[str]:
    """Return what could be worked out, at the very most."""
    known, sentences = learned.knowledge, []
    if known.peaks:
        sentences.append(words.n("learned.peaks", known.peaks))
    if known.counts:
        sentences.append(words.n("learned.counts", known.counts))
    if learned.is_by_bits:
        unit = unit_in_words(learned.slot_seconds, words)
        bits = words.n("learned.bits", learned.bits)
        sentences.append(words.t("learned.by_bits", unit=unit, bits=bits))
        if learned.worked_out:
            sentences.append(words.n("learned.worked_out", learned.worked_out))
    elif learned.numbers and known.bundles:
        time = time_in_words(known.least_seconds, words)
        only = not (learned.readings or learned.outputs)
        is_long = only and known.least_seconds > LONGEST_DAY
        sentences.append(words.t("learned.mixed_day" if is_long else "learned.mixed", time=time))
        if known.shortest_window not in (None, learned.span) and not learned.readings:
            span = _span(known.shortest_window, words)
            sentences.append(words.t("learned.window", span=span))
    if learned.readings:
        sentences.append(words.t("learned.as_they_are"))
    if learned.outputs:
        bits = words.n("learned.bits", learned.output_bits)
        sentences.append(words.t("learned.anything", bits=bits))
    if len(_has(learned, words)) == 1 and learned.sums is not None:
        sentences.append(words.t("learned.not_alone"))
    return sentences


def _about(learned: Learned, words: Catalogue) -> str:
    registers = learned.registers
    if registers == {""}:
        return words.t("learned.about_use")
    if registers == {FED_IN}:
        return words.t("learned.about_fed_in")
    if registers == {"", FED_IN}:
        return words.t("learned.about_both")
    return words.t("learned.about_registers", registers=", ".join(sorted(filter(None, registers))))


def _span(span: Span, words: Catalogue) -> str:
    """Return days; with the hours where it is no whole days."""
    begin, end = span
    if words.begins_day(begin) and words.begins_day(end):
        return words.span(begin, end)
    return f"{words.minute(begin)} – {words.minute(end)}"


def time_in_words(seconds: int, words: Catalogue) -> str:
    """Return how long something is, in hours where there are two or more, else in minutes."""
    words = replace(words, prefix="")
    if seconds >= 2 * HOUR:
        return words.n("learned.hours", seconds // HOUR)
    return words.n("learned.minutes", seconds // MINUTE)


def unit_in_words(seconds: int, words: Catalogue) -> str:
    """Return what readings of such a length are of: `single hours`."""
    words, minutes = replace(words, prefix=""), seconds // MINUTE
    match UNITS.get(minutes):
        case "quarters":
            return words.t("learned.of_quarters")
        case "halves":
            return words.t("learned.of_halves")
        case "hours":
            return words.t("learned.of_hours")
        case "days":
            return words.t("learned.of_days")
        case _:
            return words.t("learned.of_minutes", minutes=words.number(minutes))
