# SPDX-License-Identifier: Apache-2.0
"""What the resident reads, in four languages, and numbers, money and dates as each writes them.

A catalogue is a TOML file a language, `en.toml` being the one the others are held against: tables
and keys, joined with dots, name a text (`states.missing`). Placeholders are written `{name}`. A
text with a number in it has a table of plural forms, `one` and `other`.
"""

from hub.inspection.locales.catalogue import (
    LANGUAGES,
    Catalogue,
    UnknownText,
    best_language,
    catalogue,
)

__all__ = ["LANGUAGES", "Catalogue", "UnknownText", "best_language", "catalogue"]
