# SPDX-License-Identifier: Apache-2.0
"""How customers are found by name, though names are sealed: by MACs of how their words begin.

    token = HMAC-SHA256(key, length || start)[:2]
    start: the first 2, 3 or 5 letters of a word, or all of it (length 0)

Letters are compared without case and accents. A name is found by its tokens, then opened, and shown
only if it is what was asked for: two bytes are so few that several names share a token. Whoever has
the database and not the utility's keys cannot try names. He sees which customers have tokens in
common, so that frequent names stand out. The tokens go with the name when it is erased.
"""

import hmac
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Final

from sqlalchemy import Connection, Engine, Select, delete, insert, select

from utility_server.database import name_token_table as table
from utility_server.database import reading

STARTS: Final = (5, 3, 2)
"""How many letters at the start of a word are looked for, the most telling first; of a word with
fewer, only the whole is found. Of two: whoever types `mue` has typed the two that `Mü` has."""
MOST_WORDS: Final = 16
"""By so many words of a name, and of a reference, a customer is found."""
MOST_SOUGHT: Final = 8
"""So many words are looked up; the others are compared with the names that are found."""
MOST_CANDIDATES: Final = 500
"""So many names are opened for a question at most."""
_PLAIN: Final = str.maketrans(
    {"ł": "l", "ø": "o", "ı": "i", "đ": "d", "ð": "d", "ħ": "h", "æ": "ae", "œ": "oe", "þ": "th"}
)
"""Letters with strokes and ligatures, which Unicode does not take apart, as people type them."""
_IN_TWO_LETTERS: Final = re.compile("([aou])e")
_TOKEN_SIZE: Final = 2
_WHOLE: Final = 0


def words_of(text: str) -> list[str]:
    """Return the words of a text, without case, accents and signs, each once.

    `ae` is as `ä`, and that is as `a`: so are the other two that German writes in both ways.
    """
    # Twice without case: letters of a special form show their case only once they are plain.
    plain = unicodedata.normalize("NFKD", text.casefold()).casefold().translate(_PLAIN)
    kept = "".join(one if one.isalnum() else " " for one in plain if not unicodedata.combining(one))
    return list(dict.fromkeys(_IN_TWO_LETTERS.sub(r"\1", kept).split()))


def is_like(words: Sequence[str], texts: Iterable[str], *, is_whole: bool = False) -> bool:
    """Tell whether each word is, or begins, one of the texts' words."""
    known = [one for text in texts for one in words_of(text)]
    return all(
        any(one == word if is_whole else one.startswith(word) for one in known) for word in words
    )


@dataclass(frozen=True, slots=True)
class NameIndex:
    """The tokens of one utility's customers."""

    engine: Engine
    key: bytes = field(repr=False)

    def put(
        self, connection: Connection, account: bytes, meter: bytes, texts: Iterable[str]
    ) -> None:
        """Let a contract's customer be found by these texts, and by none of before."""
        self.erase(connection, account)
        words = {word for text in texts for word in words_of(text)[:MOST_WORDS]} or {""}
        tokens = {
            self._token(size, word if size == _WHOLE else word[:size])
            for word in words
            for size in (_WHOLE, *STARTS)
            if len(word) >= size
        }
        rows = [{"token": token, "account": account, "meter": meter} for token in sorted(tokens)]
        connection.execute(insert(table), rows)

    def erase(self, connection: Connection, account: bytes) -> None:
        """Let a contract's customer be found no more, in the transaction that erases the name."""
        connection.execute(delete(table).where(table.c.account == account))

    def candidates(self, words: Sequence[str], *, is_whole: bool) -> list[tuple[bytes, bytes]]:
        """Return accounts and meters among which all are that have such words, or their starts.

        `MOST_CANDIDATES` + 1 at most: then there are more. Words that are too short are left out;
        where all are, nothing is found.
        """
        said = [self._token_of(word, is_whole=is_whole) for word in words[:MOST_SOUGHT]]
        tokens = [token for token in said if token is not None]
        if not tokens:
            return []
        query: Select[tuple[bytes, bytes]] = select(table.c.account, table.c.meter).where(
            table.c.token == tokens[0]
        )
        for token in islice(tokens, 1, None):
            others = select(table.c.account).where(table.c.token == token)
            query = query.where(table.c.account.in_(others))
        query = query.order_by(table.c.account).limit(MOST_CANDIDATES + 1)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return [(bytes(row.account), bytes(row.meter)) for row in rows]

    def _token_of(self, word: str, *, is_whole: bool) -> bytes | None:
        if is_whole:
            return self._token(_WHOLE, word)
        for size in STARTS:
            if len(word) >= size:
                return self._token(size, word[:size])
        return None

    def _token(self, size: int, start: str) -> bytes:
        said = size.to_bytes(1, "big") + start.encode()
        return hmac.new(self.key, said, sha256).digest()[:_TOKEN_SIZE]
