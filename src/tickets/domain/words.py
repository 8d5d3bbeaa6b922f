"""Words: what the search index compares of a text, and what somebody who searches asks for.

Two texts have the same words whatever their case, accents and widths: `Straße` and `STRASSE`, `İZMİR` and `izmir`,
`ﾃｽﾄ` and `テスト`. Scripts that put no space between words are cut into overlapping pairs of characters, as Lucene's
CJKAnalyzer does: any part of such a text can be found.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

LONGEST = 64
"""Characters of a word that are compared: what is longer is no word, but data."""

# By table, which takes a third of the time that a regular expression takes.
_ASCII = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}
_RUN = re.compile(r"w+|p+|s")
# Scripts without spaces: Thai and Lao, Myanmar, Khmer; kana, Han and Hangul with their extensions.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3035\u303b\u3040-\u31ff"
    "\u3400-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U0003ffff]"
)
# Accents, Cyrillic titlo, Hebrew and Arabic points, the Arabic line that stretches a word, variation selectors.
_POINTS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f]"
)
_ASKED = re.compile(r'"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+)')


class Word(NamedTuple):
    """A word and where it is.

    Attributes:
        start: of its first character in the text.
        end: behind its last.
        word: as it is compared.
        is_pair: whether it is one of the overlapping pairs of a script without spaces; the last one is one character.
    """

    start: int
    end: int
    word: str
    is_pair: bool


class Phrase(NamedTuple):
    """Words that follow one another.

    Attributes:
        words: at least one.
        is_open: whether the last word may go on.
    """

    words: tuple[str, ...]
    is_open: bool


class _Kinds(dict[int, str]):
    """Maps a character to what it is: of a word, of one without spaces (pairs), a symbol, or nothing."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        kind = " "
        if category[0] in "LMN" or category in ("Cf", "Cn"):  # Cn: what later versions of Unicode name
            kind = "p" if category != "Cn" and _UNSPACED.match(character) else "w"
        elif category == "So":  # among them most emoji
            kind = "s"
        if character == "\u200b":  # the space of no width that ends words where nothing else does
            kind = " "
        self[code] = kind
        return kind


_KINDS = _Kinds()


def words(text: str) -> list[str]:
    """Return the words of a text in their order."""
    if text.isascii():
        found = text.translate(_ASCII).split()
        return [word[:LONGEST] for word in found] if max(map(len, found), default=0) > LONGEST else found
    return [found.word for found in placed(text)]


def placed(text: str) -> Iterator[Word]:
    """Find the words of a text, and where they are."""
    for run in _RUN.finditer(text.translate(_KINDS)):
        start, end = run.span()
        if run[0][0] == "p":
            yield from _pairs(text[start:end], start)
        else:
            for word in _folded(text[start:end]):
                yield Word(start, end, word, is_pair=False)


def _pairs(run: str, start: int) -> Iterator[Word]:
    folded = unicodedata.normalize("NFKC", run).casefold()
    same = len(folded) == len(run)  # else nobody knows which character became which
    for place in range(len(folded)):
        pair = folded[place : place + 2]
        here = start + place
        yield Word(*((here, here + len(pair)) if same else (start, start + len(run))), pair, is_pair=True)


@lru_cache(maxsize=32_768)
def _folded(word: str) -> tuple[str, ...]:
    """Return what is compared of a word: mostly one, none of a lone accent, several of what stands for several."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", word).casefold())
    folded = _POINTS.sub("", folded).replace("\u0131", "i")  # Turkish has an i with and without a dot, small and large
    folded = unicodedata.normalize("NFC", folded)
    kept = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    return tuple(kept[slice(*run.span())][:LONGEST] for run in _RUN.finditer(kept.translate(_KINDS)))


def asked(query: str) -> list[Phrase]:
    """Read what somebody asks for: words, phrases in quotes, and beginnings of words that end in an asterisk.

    Everything else is literal: operators are words like any other, punctuation is between words. What is written
    without a space, such as ``e-mail``, is a phrase.

    Returns:
        What has to be found, each once; nothing where no word is in it.
    """
    found = []
    for part in _ASKED.finditer(query):
        text = part["phrase"] if part["word"] is None else part["word"]
        phrase = _phrase(text, is_open=part["word"] is not None and text.endswith("*"))
        if phrase is not None and phrase not in found:
            found.append(phrase)
    return found


def _phrase(text: str, *, is_open: bool) -> Phrase | None:
    parts = list(placed(text))
    if not parts:
        return None
    if parts[-1].is_pair:
        # The text may go on behind the last character: leave out that it is the last, or let it begin a pair.
        is_open = len(parts) == 1 or not parts[-2].is_pair or parts[-2].end != parts[-1].end
        if not is_open:
            parts.pop()
    return Phrase(tuple(part.word for part in parts), is_open)
