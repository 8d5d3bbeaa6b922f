"""Snippets: the piece of a text in which most of what was asked for is, as HTML with the matches marked.

A text is read word for word up to where a piece has all of it: what is behind is neither cut into words nor compared.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from itertools import islice
from math import inf
from typing import NamedTuple

from tickets.domain.words import Phrase, Word, placed

_WIDTH = 160
"""Characters of the text that a snippet shows, about."""
_BEFORE = 40
"""Of these, how many lie before the first match."""
_LONGEST = 640
"""Characters of the text, where a match is longer than a snippet."""
_MOST = 1_000
"""Matches of a text that are looked at."""
_AT_ONCE = 256
"""Words that are read together."""
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")


class Snippet(NamedTuple):
    """What is shown of a text.

    Attributes:
        html: matches are in ``<mark>``, everything else is escaped, and ``…`` stands for what was left out; None where
            the text has nothing of what was asked for.
        read: characters of the text that were looked through.
    """

    html: str | None
    read: int


class _Match(NamedTuple):
    start: int
    end: int
    phrase: int


def snippet(text: str, phrases: Sequence[Phrase]) -> Snippet:
    """Show where a text has what was asked for."""
    piece, longest = _Piece(len(phrases)), max((len(phrase.words) for phrase in phrases), default=1)
    stream, parts, known, is_read = placed(text), list[Word](), 0, False
    while not is_read:
        more = list(islice(stream, _AT_ONCE))
        parts += more
        is_read = len(more) < _AT_ONCE
        # What begins with the last words may go on with the next ones.
        sure = len(parts) if is_read else len(parts) - longest + 1
        for match in _matches(parts, known, sure, phrases):
            piece.take(match)
        known = sure
        if not is_read and (parts[known - 1].start > piece.beyond or len(piece.found) > _MOST):
            break
    html = None if piece.best is None else _marked(text, piece.best, piece.found)
    return Snippet(html, len(text) if is_read else parts[-1].end)


class _Piece:
    """Finds the piece of a text with most phrases, while matches are met in their order.

    Attributes:
        found: what was met.
        best: the match that the piece begins with.
        beyond: behind which place of the text nothing more is needed.
    """

    def __init__(self, asked: int) -> None:
        self.found: list[_Match] = []
        self.best: _Match | None = None
        self.beyond: float = inf
        self._asked = asked
        self._first = 0
        self._most = 0
        self._near: Counter[int] = Counter()

    def take(self, match: _Match) -> None:
        self.found.append(match)
        self._near[match.phrase] += 1
        while self._first < len(self.found) - 1 and match.end > self.found[self._first].start - _BEFORE + _WIDTH:
            phrase = self.found[self._first].phrase
            self._near[phrase] -= 1
            if not self._near[phrase]:
                del self._near[phrase]
            self._first += 1
        if len(self._near) > self._most:
            self.best, self._most = self.found[self._first], len(self._near)
            if self._most == self._asked:
                self.beyond = max(self.best.start + _WIDTH, self.best.end)


def _marked(text: str, first: _Match, found: Sequence[_Match]) -> str:
    """Mark what was found in the piece of a text that begins a little before a match."""
    begin = _word_start(text, max(0, first.start - _BEFORE))
    end = min(max(_word_end(text, begin + _WIDTH), first.end), begin + _LONGEST)
    pieces, here = [], begin
    for match in sorted(match for match in found if begin <= match.start < end):
        if match.end > here:  # pairs of characters, and phrases, may overlap
            start, stop = max(match.start, here), min(match.end, end)
            pieces += [escape(text[here:start]), "<mark>", escape(text[start:stop]), "</mark>"]
            here = stop
    pieces.append(escape(text[here:end]))
    shown = _BLANK.sub(" ", "".join(pieces).replace("</mark><mark>", "")).strip()
    return f"{'…' if begin else ''}{shown}{'…' if end < len(text) else ''}"


def _matches(parts: Sequence[Word], first: int, last: int, phrases: Sequence[Phrase]) -> Iterator[_Match]:
    """Find each phrase that begins with one of some words of a text, in the order of the text."""
    begun: dict[str, list[int]] = {}
    beginnings: list[tuple[str, int]] = []
    for number, phrase in enumerate(phrases):
        if phrase.is_open and len(phrase.words) == 1:
            beginnings.append((phrase.words[0], number))
        else:
            begun.setdefault(phrase.words[0], []).append(number)
    for place in range(first, last):
        word = parts[place].word
        numbers = begun.get(word, [])
        if beginnings:
            numbers = numbers + [number for beginning, number in beginnings if word.startswith(beginning)]
        for number in numbers:
            phrase = phrases[number]
            if _goes_on(parts, place, phrase):
                yield _Match(parts[place].start, _end(parts[place + len(phrase.words) - 1], phrase), number)


def _goes_on(parts: Sequence[Word], place: int, phrase: Phrase) -> bool:
    words = phrase.words
    if len(words) == 1:
        return True  # it was looked up by that
    if place + len(words) > len(parts):
        return False
    *inner, last = (part.word for part in parts[place : place + len(words)])
    return inner == list(words[:-1]) and (last.startswith(words[-1]) if phrase.is_open else last == words[-1])


def _end(last: Word, phrase: Phrase) -> int:
    """Mark of a pair that was asked for by its first character only that one."""
    whole = last.end - last.start == len(last.word)
    return last.start + len(phrase.words[-1]) if last.is_pair and whole else last.end


def _word_start(text: str, place: int) -> int:
    """Move into the text up to where a word begins, if one does soon."""
    if place == 0:
        return 0
    blank = _BLANK.search(text, place, place + _BEFORE // 2)
    return blank.end() if blank else place


def _word_end(text: str, place: int) -> int:
    if place >= len(text):
        return len(text)
    blank = text.rfind(" ", place - _BEFORE // 2, place)
    return blank if blank > 0 else place
