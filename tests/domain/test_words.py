"""What of a text is compared, where it is in the text, and what a query asks for."""

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tickets.domain.snippets import snippet
from tickets.domain.words import LONGEST, Phrase, asked, placed, words

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


class TestWords:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            ("The printer's on FIRE!", ["the", "printer", "s", "on", "fire"]),
            ("snake_case, 1.5 €, C++", ["snake", "case", "1", "5", "c"]),
            ("Straße", ["strasse"]),
            ("東京タワー", ["東京", "京タ", "タワ", "ワー", "ー"]),
            ("v2が出た", ["v2", "が出", "出た", "た"]),
            ("ab🔥cd", ["ab", "🔥", "cd"]),
            ("zero\N{ZERO WIDTH SPACE}width", ["zero", "width"]),
            ("co\N{SOFT HYPHEN}op", ["coop"]),
            ("x" * 100, ["x" * LONGEST]),
            ("é" * 100, ["e" * LONGEST]),
        ],
        ids=ascii,
    )
    def test_examples(self, text: str, expected: list[str]):
        assert words(text) == expected

    @given(st.text(st.characters(max_codepoint=127), max_size=60))
    def test_the_short_way_for_ascii_is_the_long_way(self, text: str):
        assert words(text) == [each.word for each in placed(text)]

    @given(TEXTS)
    @example("ﷺ½㎏ﬁ")
    def test_a_word_holds_nothing_that_means_something_to_the_index(self, text: str):
        for word in words(text):
            assert word
            assert len(word) <= LONGEST
            assert not any(character.isspace() or character == '"' for character in word)
            ascii_only = [character for character in word if character.isascii()]
            assert all(character.isalnum() and not character.isupper() for character in ascii_only)

    @given(TEXTS)
    def test_words_are_where_they_are_said_to_be(self, text: str):
        for found in placed(text):
            assert 0 <= found.start < found.end <= len(text)

    @given(TEXTS)
    def test_case_and_composition_make_no_difference(self, text: str):
        assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))

    def test_no_character_is_too_much_for_it(self):
        every = "".join(map(chr, range(sys.maxunicode + 1)))  # halves of characters too
        assert words(every[:0xD800] + every[0xE000:])
        assert list(placed(every))


class TestAsked:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("red printer", [(("red",), False), (("printer",), False)]),
            ('"red printer" ink*', [(("red", "printer"), False), (("ink",), True)]),
            ("e-mail x*y z**", [(("e", "mail"), False), (("x", "y"), False), (("z",), True)]),
            ("a A á", [(("a",), False)]),
            ('open "quote', [(("open",), False), (("quote",), False)]),
            ("東京 京", [(("東京",), False), (("京",), True)]),
            ("東京v2", [(("東京", "京", "v2"), False)]),
            ('" * -', []),
        ],
        ids=ascii,
    )
    def test_examples(self, query: str, expected: list[tuple[tuple[str, ...], bool]]):
        assert asked(query) == [Phrase(*each) for each in expected]

    @given(TEXTS)
    def test_any_text_is_found_by_itself(self, text: str):
        assert asked(text) == [] or snippet(text, asked(text)) is not None

    @given(TEXTS, TEXTS)
    def test_a_snippet_has_no_markup_but_its_marks(self, text: str, query: str):
        shown = snippet(f"{text}<b>&'\"", asked(f"{query} b")) or ""
        assert shown
        bare = shown.replace("<mark>", "").replace("</mark>", "")
        assert not {"<", ">", "'", '"'} & set(bare)
        assert shown.count("<mark>") == shown.count("</mark>") > 0
