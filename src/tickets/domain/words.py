"""Words: what the search index compares of a text, and what somebody who searches asks for.

Two texts have the same words whatever their case, accents and widths: `Straße` and `STRASSE`, `İZMİR` and `izmir`,
`ﾃｽﾄ` and `テスト`. Scripts that put no space between words are cut into overlapping pairs of characters, as Lucene's
CJKAnalyzer does: any part of such a text can be found. How their characters are put together in Unicode makes no
difference: `㍿` is 株式会社, and a syllable of Hangul the same as its letters.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain, repeat
from operator import add
from typing import NamedTuple

LONGEST = 64
"""Characters of a word that are compared: what is longer is no word, but data."""

_FOLDED = 4 * LONGEST
"""Characters of a word that are looked at, since accents are not compared: what is kept of it stays small."""

# By table, which takes a third of the time that a regular expression takes.
_ASCII = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}
_RUN = re.compile(r"w+|p+|s")
_ASCII_WORD = re.compile("[0-9A-Za-z]+")
# Scripts without spaces: Thai and Lao, Myanmar, Khmer; kana, Han and Hangul with its letters, with their extensions.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3035\u303b\u3040-\u31ff"
    "\u3400-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U0003ffff]"
)
# What NFKC writes otherwise in these scripts, a piece at a time: letters that are a syllable of Hangul together, of any
# width; signs of voice behind kana; marks in another order than theirs; and what stands for other characters.
_LEADING = "\u1100-\u115f\ua960-\ua97c\u3131-\u314e\u3165-\u3186\uffa1-\uffbe"
_VOWEL = "\u1160-\u11a7\ud7b0-\ud7c6\u314f-\u3164\u3187-\u318e\uffa0\uffc2-\uffdc"
_FINAL = "\u11a8-\u11ff\ud7cb-\ud7fb\u3133\u3135\u3136\u313a-\u3140\uffa3\uffa5\uffa6\uffaa-\uffb0"
_VOICE = "\u3099\u309a\uff9e\uff9f"
_LOOSE = re.compile(
    f"[{_LEADING}](?:[{_VOWEL}][{_FINAL}]?)?|[\uac00-\ud7a3][{_FINAL}]|[{_VOWEL}]"
    f"|[\u3041-\u30ff\uff66-\uff9d][{_VOICE}]|[\uff66-\uff9f]|\u1025\u102e"
    "|[\u0e38-\u0e3a\u0e48-\u0e4b\u0e4d\u0eb8-\u0eba\u0ec8-\u0ecb\u1037\u1039\u103a\u302a-\u302f\u3099\u309a]{2,8}"
    "|[\u0e33\u0eb3\u0edc\u0edd\u2e9f\u2ef3\u2f00-\u2fd5\u3038-\u303a\u309f\u30ff\u3192-\u319f\u3200-\u33ff"
    "\uf900-\ufaff\U0001f200-\U0001f265\U0002f800-\U0002fa1d]"
)
# Accents, Cyrillic titlo, Hebrew and Arabic points, the Arabic line that stretches a word, variation selectors.
_POINTS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f]"
)
_ASKED = re.compile(r'"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+)')


_MOST_KINDS = 32_768
"""Characters that are remembered: all that people write with, and not the million there are."""


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


_word: Callable[[tuple[int, int, str, bool]], Word] = partial(tuple.__new__, Word)  # in a fourth of the time


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
        if len(self) >= _MOST_KINDS:
            self.clear()
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
    text = _LOOSE.sub(_composed, text)
    cut: list[str] = []
    for run in _RUN.finditer(text.translate(_KINDS)):
        start, end = run.span()
        if run[0][0] == "p":
            cut += _pairs(text[start:end])
        else:
            cut += _folded(text[start : min(end, start + _FOLDED)])
    return cut


def placed(text: str) -> Iterator[Word]:
    """Find the words of a text, and where they are."""
    if text.isascii():
        for run in _ASCII_WORD.finditer(text):
            yield _word((*run.span(), run[0][:LONGEST].lower(), False))
        return
    text, starts, ends = _moved(text)
    for run in _RUN.finditer(text.translate(_KINDS)):
        start, end = run.span()
        if run[0][0] == "p":
            beyond = chain(ends[start + 1 : end], ends[end - 1 : end])
            yield from map(_word, zip(starts[start:end], beyond, _pairs(text[start:end]), repeat(True)))
        else:
            for word in _folded(text[start : min(end, start + _FOLDED)]):
                yield _word((starts[start], ends[end - 1], word, False))


def _pairs(run: str) -> Iterator[str]:
    """Cut a run of characters into overlapping pairs, and its last one."""
    return chain(map(add, run, run[1:]), run[-1])


def _composed(piece: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", piece[0])


def _moved(text: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """Write what is `_LOOSE` as it is compared; return where each character of that was, from and to."""
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    here = 0
    for piece in _LOOSE.finditer(text):
        start, end = piece.span()
        composed = _composed(piece)
        if composed == piece[0]:
            continue
        pieces += [text[here:start], composed]
        starts += range(here, start)
        starts += [start] * len(composed)
        ends += range(here + 1, start + 1)
        ends += [end] * len(composed)
        here = end
    if not pieces:
        return text, range(len(text)), range(1, len(text) + 1)
    starts += range(here, len(text))
    ends += range(here + 1, len(text) + 1)
    return "".join(pieces) + text[here:], starts, ends


@lru_cache(maxsize=16_384)
def _folded(word: str) -> tuple[str, ...]:
    """Return what is compared of a word: mostly one, none of a lone accent, several of what stands for several.

    Args:
        word: its first `_FOLDED` characters: kept as a key, and whatever takes marks into their order takes the square
            of their number.
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", word).casefold())
    folded = _POINTS.sub("", folded).replace("\u0131", "i")  # Turkish has an i with and without a dot, small and large
    folded = unicodedata.normalize("NFC", folded)
    kept = "".join(character for character in folded[:_FOLDED] if unicodedata.category(character) != "Cf")
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
