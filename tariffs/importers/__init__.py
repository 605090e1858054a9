# SPDX-License-Identifier: Apache-2.0
"""Other people's tariff files, turned into this project's TOML source.

    ceem          retail tariffs of the Australian CEEM collection (JSON): flat, time of use, blocks
    modul3        German time-variable network charges under § 14a EnWG, Modul 3 (JSON)
    pge           Californian tiers on a baseline and times of use (CSV)
    transcribed   flat, dynamic bands, index formulas, versions, index-linked bands (JSON)

An importer takes a text and gives texts, to be read, edited and compiled like any other source:
nothing is decided in secret. What a file does not say (a mark-up, a region) is asked for.
"""

from tariffs.importers.ceem import import_ceem
from tariffs.importers.modul3 import import_modul3
from tariffs.importers.pge import import_pge
from tariffs.importers.transcribed import import_transcribed

IMPORTERS = {
    "ceem": import_ceem,
    "modul3": import_modul3,
    "pge": import_pge,
    "transcribed": import_transcribed,
}
"""By name; each takes the file's text and options, and returns TOML texts by tariff name."""
