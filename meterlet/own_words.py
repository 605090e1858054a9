# SPDX-License-Identifier: Apache-2.0
"""Reasons and errors in the language of whoever is at the terminal: LC_ALL, LC_MESSAGES, LANG.

Only what is printed for people is translated. JSON stays as it is, and so do exit codes: programs
go by these. Without a language of ours nothing is loaded, and the text is the English one.
"""

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hub.inspection.locales.catalogue import Catalogue

VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
TRANSLATED: Final = ("de", "it", "fr")


def own_language() -> str:
    """Return the language that the environment names, or English."""
    named = next(filter(None, map(os.environ.get, VARIABLES)), "")
    language = named.partition(".")[0].partition("_")[0].lower()
    return language if language in TRANSLATED else "en"


def reason_in_own_words(reason: str) -> str:
    """Return a reason in the language of the environment."""
    words = _catalogue()
    if words is None:
        return reason
    from hub.inspection.locales.reasons import reason_in_words

    return reason_in_words(reason, words)


def error_in_own_words(error: Exception) -> str:
    """Return an error's line in the language of the environment."""
    words = _catalogue()
    if words is None:
        return str(error)
    from hub.inspection.locales.reasons import error_in_words

    return error_in_words(error, words)


def _catalogue() -> "Catalogue | None":
    """Return the catalogue; None for English, and where the words are not installed."""
    language = own_language()
    if language == "en":
        return None
    try:
        from hub.inspection.locales.catalogue import catalogue
    except ModuleNotFoundError:  # without the extra `hub` there is nothing to write dates with
        return None
    return catalogue(language)
