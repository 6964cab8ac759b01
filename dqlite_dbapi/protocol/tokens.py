"""SQLite's lexical rules (its tokenize.c), as far as a client has to follow them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t\n\f\r\ufeff]+|--[^\n]*|/\*(?=.).*?(?:\*/|\Z))
    |(?P<string>'(?:[^']|'')*')
    |(?P<blob>[xX]'[^']*')
    |(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    |(?P<parameter>\?[0-9]*|[:@$](?:[A-Za-z0-9_$\u0080-\U0010ffff]|::)+(?:\([^)\s]*\))?)
    |(?P<word>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)
    |(?P<number>0[xX][0-9a-fA-F]+
        |(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?)
    |(?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """One token: its place in the text, and how many parentheses are open around it."""

    kind: str
    text: str
    start: int
    end: int
    depth: int

    @property
    def upper(self) -> str:
        """A bare word in upper case, as keywords are compared; "" for anything else."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """What the token names, unquoted and in lower case; SQLite takes strings for names too."""
        text = self.text
        if self.kind in ("quoted", "string"):
            text = text[1:-1].replace(text[-1] * 2, text[-1])
        return text.lower()

    @property
    def is_name(self) -> bool:
        """True where the token can be a name."""
        return self.kind in ("word", "quoted", "string")


Tokens = Sequence[Token]


def tokens(sql: str) -> Iterator[Token]:
    """Every token of `sql` but blanks and comments."""
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind = str(match.lastgroup)
        if kind == "blank":
            continue
        text = match.group()
        depth -= text == ")"
        yield Token(kind, text, match.start(), match.end(), depth)
        depth += text == "("


def statements(sql: str) -> Iterator[list[Token]]:
    """The tokens of each statement in `sql`, without its semicolon; empty ones are left out."""
    current: list[Token] = []
    for token in tokens(sql):
        if token.text == ";" and not _inside_trigger(current):
            if current:
                yield current
            current = []
        else:
            current.append(token)
    if current:
        yield current


def _inside_trigger(current: Tokens) -> bool:
    """A trigger's body ends with `; END`, as sqlite3_complete() tells it."""
    words = [token.upper for token in current[:6]]
    while words[:1] and words[0] in ("EXPLAIN", "QUERY", "PLAN"):
        del words[0]
    if words[1:2] in (["TEMP"], ["TEMPORARY"]):
        del words[1]
    if words[:2] != ["CREATE", "TRIGGER"]:
        return False
    return not (current[-1].upper == "END" and current[-2].text == ";")


def split_list(body: Tokens) -> list[Tokens]:
    """Cut `body` at its commas, those within parentheses left out."""
    items: list[Tokens] = []
    start = 0
    depth = body[0].depth if body else 0
    for position, token in enumerate(body):
        if token.text == "," and token.depth == depth:
            items.append(body[start:position])
            start = position + 1
    return [*items, body[start:]]


def closing(found: Tokens, opening: int) -> int:
    """Position of the `)` that belongs to the `(` at `opening`; the end if there is none."""
    depth = found[opening].depth
    for position in range(opening + 1, len(found)):
        if found[position].text == ")" and found[position].depth == depth:
            return position
    return len(found)
