# SPDX-License-Identifier: Apache-2.0
"""What a hub's database is made of: the tables of all parts, and what is sealed in them."""

from typing import Final

from hub.applet_host import AGGREGATION_COMPONENT
from hub.applet_host.aggregation_record import reseal_rounds
from hub.applet_host.answers import ANSWERS_COMPONENT, reseal_answers
from hub.applet_host.memory import MEMORY_COMPONENT, reseal_memory
from hub.applet_host.store import STORE_COMPONENT, reseal_stores
from hub.card.registry import CARD
from hub.card.resealing import CARD_KEYS
from hub.certifier.succession import ANNOUNCEMENT_COMPONENT
from hub.disclosure import CONSENT_COMPONENT, LOG_COMPONENT, STRANGERS_COMPONENT
from hub.disclosure.countersigned import COUNTERSIGNED_COMPONENT
from hub.disclosure.log import reseal_log
from hub.disclosure.strangers import reseal_sources
from hub.machine.raw import OUTPUT_COMPONENT, reseal_outputs
from hub.meters.quarantine import QUARANTINE_COMPONENT, reseal_quarantine
from hub.meters.sealed_keys import SEALED_KEYS_COMPONENT, reseal_meter_keys
from hub.vault.days import DAYS_COMPONENT
from hub.vault.resealing import (
    CORRECTED_DAYS,
    CORRECTIONS,
    DAYS,
    FACTS,
    INHERITED,
    READINGS,
    by_derived_key,
)
from hub.vault.vault import VAULT_COMPONENT

COMPONENTS: Final = (
    VAULT_COMPONENT,
    QUARANTINE_COMPONENT,
    SEALED_KEYS_COMPONENT,
    DAYS_COMPONENT,
    ANNOUNCEMENT_COMPONENT,
    CARD,
    LOG_COMPONENT,
    COUNTERSIGNED_COMPONENT,
    CONSENT_COMPONENT,  # after the log that it is compared with
    STRANGERS_COMPONENT,
    STORE_COMPONENT,
    OUTPUT_COMPONENT,
    AGGREGATION_COMPONENT,
    ANSWERS_COMPONENT,
    MEMORY_COMPONENT,
)
RESEAL: Final = (
    reseal_log, reseal_sources, reseal_stores, reseal_outputs, reseal_rounds, reseal_answers,
    reseal_memory, reseal_quarantine, reseal_meter_keys,
)  # fmt: skip
"""What seals anew all that is sealed under keys made from the vault's (`hub.vault.sealing`)."""
SEALED: Final = (
    READINGS,
    CORRECTIONS,
    DAYS,
    CORRECTED_DAYS,
    FACTS,
    INHERITED,
    CARD_KEYS,
    by_derived_key(reseal_log, "disclosure_entry", "disclosure_bytes"),
    by_derived_key(reseal_sources, "known_source"),
    by_derived_key(reseal_quarantine, "odd_telegram"),
    by_derived_key(reseal_meter_keys, "meter_key"),
    by_derived_key(reseal_stores, "applet_store", "applet_log"),
    by_derived_key(reseal_outputs, "applet_output"),
    by_derived_key(reseal_rounds, "aggregation_round"),
    by_derived_key(reseal_answers, "told_answer"),
    by_derived_key(reseal_memory, "carried_state"),
)
"""All that is sealed with the vault's key; what is sealed with keys made from it is made again."""
