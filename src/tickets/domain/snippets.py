"""Snippets: the piece of a text in which most of what was asked for is, as HTML with the matches marked."""

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from tickets.domain.words import Phrase, Word, placed

_WIDTH = 160
"""Characters of the text that a snippet shows, about."""
_BEFORE = 40
"""Of these, how many lie before the first match."""
_MOST = 200
"""Matches of a text that are looked at."""
_LONGEST = 640
"""Characters of the text, where a match is longer than a snippet."""
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")


class _Match(NamedTuple):
    start: int
    end: int
    phrase: int


def snippet(text: str, phrases: Sequence[Phrase]) -> str | None:
    """Show where a text has what was asked for; None where it has nothing of it.

    Returns:
        HTML: matches are in ``<mark>``, everything else is escaped, and ``…`` stands for what was left out.
    """
    found = _matches(text, phrases)
    if not found:
        return None
    first = _best(found)
    begin = _word_start(text, max(0, found[first].start - _BEFORE))
    end = min(max(_word_end(text, begin + _WIDTH), found[first].end), begin + _LONGEST)
    pieces, here = [], begin
    for match in found:
        if match.start >= end:
            break
        if match.start >= begin and match.end > here:  # pairs of characters, and phrases, may overlap
            start, stop = max(match.start, here), min(match.end, end)
            pieces += [escape(text[here:start]), "<mark>", escape(text[start:stop]), "</mark>"]
            here = stop
    pieces.append(escape(text[here:end]))
    shown = _BLANK.sub(" ", "".join(pieces).replace("</mark><mark>", "")).strip()
    return f"{'…' if begin else ''}{shown}{'…' if end < len(text) else ''}"


def _matches(text: str, phrases: Sequence[Phrase]) -> list[_Match]:
    """Find each phrase, in the order of the text."""
    found: list[_Match] = []
    parts = list(placed(text))
    by_word: dict[str, list[int]] = {}
    for place, part in enumerate(parts):
        by_word.setdefault(part.word, []).append(place)
    for number, phrase in enumerate(phrases):
        for place in _places(phrase.words[0], by_word, is_open=phrase.is_open and len(phrase.words) == 1):
            if _goes_on(parts, place, phrase):
                last = parts[place + len(phrase.words) - 1]
                found.append(_Match(parts[place].start, _end(last, phrase), number))
                if len(found) >= _MOST * (number + 1):
                    break
    return sorted(found)


def _places(word: str, by_word: dict[str, list[int]], *, is_open: bool) -> list[int]:
    if not is_open:
        return by_word.get(word, [])
    return sorted(place for other, places in by_word.items() if other.startswith(word) for place in places)


def _goes_on(parts: Sequence[Word], place: int, phrase: Phrase) -> bool:
    words = phrase.words
    if place + len(words) > len(parts):
        return False
    *inner, last = (part.word for part in parts[place : place + len(words)])
    return inner == list(words[:-1]) and (last.startswith(words[-1]) if phrase.is_open else last == words[-1])


def _end(last: Word, phrase: Phrase) -> int:
    """Mark of a pair that was asked for by its first character only that one."""
    whole = last.end - last.start == len(last.word)
    return last.start + len(phrase.words[-1]) if last.is_pair and whole else last.end


def _best(found: Sequence[_Match]) -> int:
    """Choose the match from which on most phrases are within a snippet."""
    best, most = 0, 0
    for number, match in enumerate(found):
        near = set()
        for other in found[number:]:
            if other.end > match.start - _BEFORE + _WIDTH:
                break
            near.add(other.phrase)
        if len(near) > most:
            best, most = number, len(near)
    return best


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
