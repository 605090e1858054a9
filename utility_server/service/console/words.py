# SPDX-License-Identifier: Apache-2.0
"""What the interface says, as people read it: amounts with their currency, runs with their counts.

Whatever is not known is shown as it came: a page never fails for a fact that is new.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "billed": ("billed",),
    "waiting": ("new", "asked"),
    "unreachable": ("unreachable", "not-ready", "given-up"),
    "declined": ("declined",),
    "refused": ("refused",),
    "cancelled": ("cancelled",),
}
"""How the states of a run's customers stand on the page."""
NAMES: Final[Mapping[str, str]] = {
    "billed": "billed",
    "waiting": "waiting for the hub",
    "unreachable": "not reached, or not ready",
    "declined": "the hub said no",
    "refused": "not to be billed so",
    "cancelled": "ended with the run",
}
LIVE: Final = frozenset({"waiting", "running", "cancelling"})
_NANO: Final = -9


def grouped(run: Mapping[str, Any]) -> dict[str, int]:
    """Return how many customers of a run are in each group."""
    counts = run["counts"]
    return {name: sum(counts.get(one, 0) for one in states) for name, states in GROUPS.items()}


def run_result(run: Mapping[str, Any]) -> str:
    """Say what came of a run until now, in a few words."""
    if run["kind"] != "bill-run":
        match run["facts"].get("verified"):
            case True:
                return "all verifies"
            case False:
                return "something is wrong"
        return f"{run['done']} of {run['total']} entries"
    shown = [f"{count} {NAMES[name]}" for name, count in grouped(run).items() if count]
    return ", ".join(shown) or "nobody yet"


def run_mood(run: Mapping[str, Any]) -> str:
    """Return how a run's state is coloured: good only where all that it was for is done."""
    state = run["state"]
    if state in LIVE:
        return "guessed"
    if state != "done" or run["facts"].get("verified") is False:
        return "missing"
    if run["kind"] == "bill-run" and grouped(run)["billed"] < run["total"]:
        return "guessed"
    return "good"


_STATES: Final[Mapping[str, str]] = {
    "new": "waiting for the hub",
    "asked": "waiting for the hub",
    "unreachable": "not reached",
    "not-ready": "its days are not certified yet",
    "declined": "the hub said no",
    "refused": "not to be billed so",
    "cancelled": "ended with the run",
}


def item_state(item: Mapping[str, Any]) -> str:
    """Say how far a customer of a run is: the interface's word, and what the run's counts say."""
    state = str(item["state"])
    parts = [f"{state}: {_STATES[state]}" if state in _STATES else state]
    if item["tries"]:
        parts.append(f"tried {item['tries']} times")
    if item["next_try"]:
        parts.append(f"again {item['next_try']}")
    return "; ".join(parts)


DONE: Final[Mapping[str, str]] = {
    "run-ended": "The run is being ended.",
    "run-again": "The run tries again.",
    "schedule-made": "The schedule is kept.",
    "schedule-removed": "The schedule is removed; its runs stay.",
    "enrolled": "The customer is enrolled. Destroy the enrolment file now.",
    "contract-opened": "The contract is opened.",
    "contract-closed": "The contract is closed.",
    "party-kept": "The name and address are kept.",
    "party-erased": "The name and address are erased.",
    "question-withdrawn": "The question is withdrawn.",
    "tariff-registered": "The tariff is signed and registered.",
    "tariff-withdrawn": "The tariff is withdrawn: nothing new is asked under it.",
    "key-revoked": "The key counts no more.",
    "certificate-registered": "The certificate is registered. TLS knows it within five seconds.",
    "certificate-withdrawn": "The certificate counts no more.",
    "rollout-planned": "The roll-out is planned. Nothing was said to a hub yet.",
    "rollout-started": "The roll-out has begun. Hubs are spoken to as they dial.",
    "rollout-stopped": "The roll-out is stopped.",
    "rollout-resumed": "The roll-out goes on.",
    "rollout-back": "The roll-out is being rolled back, as hubs dial.",
    "rollout-asked": "Hubs that wait are asked again when they dial next.",
}
"""What a page says after a form has done what it was for."""


def item_why(item: Mapping[str, Any]) -> str:
    """Say why a customer of a run stands as he does."""
    reason = str(item["reason"] or "")
    return str(item["why"] or _REASONS.get(reason, reason.replace("-", " ")))


_REASONS: Final = {"billed-before": "billed already, by another run or command"}


def run_what(run: Mapping[str, Any], tariffs: Mapping[str, str]) -> str:
    """Say what a run is of: its days, and under which tariff."""
    if run["kind"] != "bill-run":
        return "check of the records"
    return f"{run_days(run)}; {tariff_of(run, tariffs)}"


def run_days(run: Mapping[str, Any]) -> str:
    """Say which days a bill run is of."""
    facts = run["facts"]
    if facts.get("from"):
        return f"{facts['from']} to {facts['until']}"
    return f"what is due, by {facts['cycle']}"


def tariff_of(run: Mapping[str, Any], tariffs: Mapping[str, str]) -> str:
    """Return how people call a run's tariff; its digest where that is not known."""
    digest = str(run["facts"]["tariff"])
    return tariffs.get(digest, f"tariff {digest[:16]}…")


def tariff_name(tariff: Mapping[str, Any]) -> str:
    """Return how people call a tariff."""
    return f"{tariff['name']}, revision {tariff['revision']}"


def bill_state(bill: Mapping[str, Any]) -> str:
    """Say how far a bill is, and whether its invoice stands."""
    parts = [str(bill["state"])]
    if bill["replaces"]:
        parts.append(f"replaces invoice {bill['replaces']}")
    return "; ".join([*parts, *_void(bill, "invoice")])


INVOICES: Final[Mapping[str, str]] = {
    "": "all",
    "standing": "to be paid",
    "void": "replaced, or void",
    "delivered": "delivered to the hub",
    "waiting": "waiting for the hub",
}
"""Which invoices a list has."""


def invoice_state(invoice: Mapping[str, Any]) -> str:
    """Say whether a hub has its invoice."""
    return "delivered" if invoice["state"] == "delivered" else "waiting for the hub"


HITS: Final[Mapping[str, str]] = {
    "meter": "meter",
    "contract": "contract",
    "name": "customer",
    "invoice": "invoice",
}


def hit_address(hit: Mapping[str, Any]) -> str:
    """Return the page of something that was found."""
    return f"/invoices/{hit['invoice']}" if hit["invoice"] else f"/customers/{hit['meter']}"


def hit_text(hit: Mapping[str, Any]) -> str:
    """Return what was found, as it was looked for."""
    return str(hit["name"] or hit["invoice"] or hit["account"] or hit["meter"])


def bill_why(bill: Mapping[str, Any]) -> str:
    """Say why a bill does not go on, and when that was."""
    return f"{bill['why']} ({bill['failed']})" if bill["why"] else ""


def _void(shown: Mapping[str, Any], what: str) -> list[str]:
    """Say why nothing is to be paid by an invoice, if it is so."""
    if shown.get("replaced_by"):
        return [f"not to be paid: replaced by {what} {shown['replaced_by']}"]
    return ["not to be paid: to be asked for again"] if shown.get("void") else []


def says(line: Mapping[str, Any]) -> str:
    """Say what an entry of the ledger says."""
    facts = line["facts"]
    currency, parts = str(facts.get("currency", "")), list[str]()
    if "total" in facts:
        parts.append(f"{facts['total']} {currency}")
    if "value" in facts:
        parts.append(f"{_nano(facts['value'])} {currency}")
    if supplier := facts.get("supplier"):
        parts.append(f"of the supplier {supplier}")
    if "best" in facts:
        parts.append(f"most like profile {facts['best']}, by {facts.get('method', 'its method')}")
    if why := facts.get("why"):
        parts.append(str(why))
    for name, text in (("limit_wh", "limit"), ("opened_wh", "opened")):
        if name in facts:
            parts.append(f"{text} {facts[name]} Wh")
    if missing := facts.get("missing"):
        parts.append(f"{missing} slots without a reading")
    if replaces := facts.get("replaces"):
        parts.append(f"replaces entry {replaces}")
    if "difference" in facts:
        parts.append(f"difference {facts['difference']} {currency}")
    if corrected := facts.get("corrected"):
        parts.append(f"corrected {corrected}")
    parts += _void(line, "entry")
    return "; ".join(part.strip() for part in parts)


def _nano(value: object) -> str:
    """Return an amount in 10^-9 of a currency, with two decimals at least and all that it has."""
    try:
        text = f"{Decimal(str(value)).scaleb(_NANO):f}"
    except InvalidOperation:
        return str(value)
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


# Settlements and profiles of many customers

CLAIM_GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "entered": ("entered",),
    "waiting": ("new", "asked", "answered"),
    "unreachable": ("unreachable", "not-ready", "given-up"),
    "declined": ("declined",),
    "refused": ("refused",),
    "cancelled": ("cancelled",),
}
"""How the states of such a run's customers stand on the page."""
CLAIM_NAMES: Final[Mapping[str, str]] = {
    "entered": "proved and entered",
    "waiting": "waiting for the hub",
    "unreachable": "not reached, or not ready",
    "declined": "the hub said no",
    "refused": "not to be asked, or wrongly answered",
    "cancelled": "ended with the run",
}
METHODS: Final[Mapping[str, str]] = {
    "match": "the best match alone",
    "scores": "a score for each profile",
    "sample": "a sample of readings, which the utility reckons with",
}
"""What hubs tell of profiles."""
_CLAIM_STATES: Final[Mapping[str, str]] = {
    **_STATES,
    "answered": "being verified",
    "entered": "proved, and in the ledger",
    "refused": "not to be asked, or wrongly answered",
}


def claim_grouped(run: Mapping[str, Any]) -> dict[str, int]:
    """Return how many customers of such a run are in each group."""
    counts = run["counts"]
    return {name: sum(counts.get(one, 0) for one in some) for name, some in CLAIM_GROUPS.items()}


def claim_result(run: Mapping[str, Any]) -> str:
    """Say what came of a settlement's or profiles' run until now, in a few words."""
    if "counts" not in run:
        return f"{run['done']} of {run['total']} regions"
    shown = [f"{count} {CLAIM_NAMES[name]}" for name, count in claim_grouped(run).items() if count]
    return ", ".join(shown) or "nobody yet"


def claim_mood(run: Mapping[str, Any]) -> str:
    """Return how such a run's state is coloured: good only where all that it was for is done."""
    if run["state"] in LIVE:
        return "guessed"
    if run["state"] != "done":
        return "missing"
    is_whole = (
        claim_grouped(run)["entered"] >= run["total"]
        if "counts" in run
        else not run.get("provisional", run["done"] < run["total"])
    )
    return "good" if is_whole else "guessed"


def claim_under(run: Mapping[str, Any]) -> str:
    """Say under which index, or by which profiles, such a run asks."""
    facts = run.get("facts", run)
    if "series" in facts:
        return f"{facts['series']}, revision {facts['revision']}, in {facts['currency']}"
    text = f"profiles {facts.get('profiles', '')}".strip()
    method = str(facts.get("method", ""))
    parts = [text, METHODS.get(method, method)]
    if "one_in" in facts:
        parts.append(f"one reading in {facts['one_in']}")
    return "; ".join(part for part in parts if part)


def claim_state(item: Mapping[str, Any]) -> str:
    """Say how far a customer of such a run is."""
    state = str(item["state"])
    parts = [f"{state}: {_CLAIM_STATES[state]}" if state in _CLAIM_STATES else state]
    if item["tries"]:
        parts.append(f"tried {item['tries']} times")
    if item["next_try"]:
        parts.append(f"again {item['next_try']}")
    return "; ".join(parts)


def claim_value(item: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """Say what a customer's hub has proved."""
    if item["value"] is None:
        return ""
    currency = run["facts"].get("currency")
    text = f"{_nano(item['value'])} {currency}" if currency else str(item["value"])
    missing = item["missing_slots"]
    return f"{text}; {missing} slots without a reading" if missing else text


def amount(exact: object) -> str:
    """Return an amount in 10^-9 of a currency as it is written."""
    return _nano(exact)


# Roll-outs

ROLLOUT_GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "installed": ("installed",),
    "waiting": ("planned", "begun"),
    "consent": ("waiting for consent", "waiting for consent to go back"),
    "declined": ("refused by the resident", "not allowed"),
    "failed": ("failed",),
    "back": ("rolled back", "not begun"),
}
"""How the states of a roll-out's hubs stand on the page."""
ROLLOUT_NAMES: Final[Mapping[str, str]] = {
    "installed": "done",
    "waiting": "to be spoken to",
    "consent": "waiting for the resident",
    "declined": "the resident says no",
    "failed": "failed",
    "back": "rolled back, or never begun",
}
ROLLOUT_STEPS: Final[Mapping[str, str]] = {
    "start": "Start",
    "stop": "Stop",
    "resume": "Go on",
    "roll-back": "Roll back",
    "ask-again": "Ask again",
}
"""What can be decided about one."""
_ROLLOUT_LIVE: Final = frozenset({"running", "rolling back"})


def rollout_grouped(rollout: Mapping[str, Any]) -> dict[str, int]:
    """Return how many hubs of a roll-out are in each group."""
    return {
        name: sum(wave.get(one, 0) for wave in rollout["hubs"] for one in some)
        for name, some in ROLLOUT_GROUPS.items()
    }


def rollout_what(rollout: Mapping[str, Any]) -> str:
    """Say what is rolled out."""
    match rollout["kind"]:
        case "version":
            return f"{rollout['name']}, version {rollout['version']}"
        case "keys":
            return f"new keys of the applet {rollout['applet']}"
        case "look":
            return f"a look at the cards that have the applet {rollout['applet']}"
    return str(rollout["name"])


def rollout_is_live(rollout: Mapping[str, Any]) -> bool:
    """Tell whether hubs are spoken to."""
    return rollout["state"] in _ROLLOUT_LIVE


def rollout_mood(rollout: Mapping[str, Any]) -> str:
    """Return how a roll-out's state is coloured."""
    if rollout["state"] in ("stopped", "rolled back", "superseded"):
        return "missing"
    hubs = rollout.get("hubs")
    if rollout["state"] != "done":
        return "guessed"
    is_whole = hubs is None or rollout_grouped(rollout)["installed"] >= rollout["total"]
    return "good" if is_whole else "guessed"


def rollout_steps(rollout: Mapping[str, Any]) -> Sequence[str]:
    """Return what can be decided about a roll-out as it is."""
    back = ("roll-back",) if rollout["kind"] == "version" else ()
    match rollout["state"]:
        case "planned":
            return ("start",)
        case "running":
            return ("stop", "ask-again", *back)
        case "stopped":
            return ("resume", *back)
        case "rolling back":
            return ("ask-again",)
        case "done" | "rolled back":
            return back
    return ()


def wave_says(rollout: Mapping[str, Any], wave: int) -> str:
    """Say how the hubs of a wave are; waves are counted from 1."""
    states = rollout["hubs"][wave - 1]
    return ", ".join(f"{count} {state}" for state, count in states.items()) or "none"


def wave_open(rollout: Mapping[str, Any], wave: int) -> str:
    """Say whether a wave is open."""
    return "open" if wave <= rollout["wave"] else "not open yet"
