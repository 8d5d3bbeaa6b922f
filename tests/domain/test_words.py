"""What of a text is compared, where it is in the text, and what a query asks for."""

import sys
import tracemalloc
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tickets.domain.snippets import snippet
from tickets.domain.words import LONGEST, Phrase, asked, placed, words

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


def script(*spans: tuple[int, int]) -> st.SearchStrategy[str]:
    """Make texts of a few characters' blocks, all of which mean something next to one another."""
    known = [chr(code) for first, last in spans for code in range(first, last + 1)]
    letters = st.sampled_from([each for each in known if unicodedata.category(each) not in ("Cn", "Sk")])
    return st.lists(letters | st.sampled_from("a 1"), max_size=12).map("".join)


SCRIPTS = {
    "Hangul": script((0xAC00, 0xAC40), (0x1100, 0x1112), (0x1161, 0x1175), (0x11A8, 0x11C2)),
    "letters of Hangul": script((0x1100, 0x11FF), (0xA960, 0xA97F), (0xD7B0, 0xD7FF), (0xAC00, 0xAC01)),
    "letters of Hangul in any width": script((0x3131, 0x318E), (0xFFA0, 0xFFDC), (0x11A8, 0x11C2), (0xAC00, 0xAC01)),
    "kana": script((0x3041, 0x30FF), (0x3099, 0x309A)),
    "narrow kana": script((0xFF66, 0xFF9F), (0x3099, 0x309A), (0x30A0, 0x30FF)),
    "Han": script((0x4E00, 0x4E20), (0xF900, 0xFAD9), (0x2F800, 0x2FA1D), (0x302A, 0x302F)),
    "radicals": script((0x2E80, 0x2FD5), (0x4E00, 0x4E20), (0x3005, 0x3007), (0x3021, 0x303A)),
    "squared words": script((0x3190, 0x319F), (0x3200, 0x33FF), (0x1F200, 0x1F265), (0x4E00, 0x4E20), (0x30A1, 0x30FA)),
    "Thai": script((0x0E01, 0x0E3A), (0x0E40, 0x0E4E)),
    "Lao": script((0x0E81, 0x0EBD), (0x0EC0, 0x0EDF)),
    "Myanmar": script((0x1000, 0x109F)),
    "Khmer": script((0x1780, 0x17DD)),
    "Latin": script((0x00C0, 0x024F), (0x0300, 0x0345), (0xFB00, 0xFB06), (0xFF21, 0xFF5A)),
    "Devanagari": script((0x0900, 0x097F)),
    "Arabic": script((0x0620, 0x065F), (0xFE80, 0xFEFC)),
}


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

    @pytest.mark.parametrize("texts", SCRIPTS.values(), ids=SCRIPTS)
    @given(data=st.data())
    def test_in_no_script_does_it_matter_how_characters_are_put_together(
        self, texts: st.SearchStrategy[str], data: st.DataObject
    ):
        text = data.draw(texts)
        expected = words(text)
        assert [each.word for each in placed(text)] == expected
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            assert words(unicodedata.normalize(form, text)) == expected, form

    @pytest.mark.parametrize(
        ("text", "same"),
        [
            ("㍿東京", "株式会社東京"),
            ("⼀般", "一般"),
            ("ﾌﾟﾘﾝﾀ", "プリンタ"),
            ("ﾋﾟㄱㅏ", "ピ가"),
            ("ﾡￂﾤ", "ㄱㅏㄴ"),
            ("프린터", "\u1111\u1173\u1105\u1175\u11ab\u1110\u1165"),
            ("5㎏", "5kg"),
        ],
        ids=ascii,
    )
    def test_what_stands_for_other_characters_is_these(self, text: str, same: str):
        assert words(text) == words(same)

    def test_where_characters_are_put_together_is_known(self):
        text = "a ㍿ \u1112\u1161\u11ab\u1100\u116e\u11a8 น้ำ"
        found = {each.word: text[each.start : each.end] for each in placed(text)}
        assert found["株式"] == found["社"] == "㍿"
        assert found["한국"] == text[4:10]
        assert found["국"] == text[7:10]
        assert found["า"] == "\u0e33"

    @pytest.mark.parametrize("letter", ["ж", "x\u0301", "\ufdfa", "\u0345", "\u0e38\u0e48", "\u302a\u302b"], ids=ascii)
    def test_nothing_is_kept_of_data_that_looks_like_a_word(self, letter: str):
        words("a")
        tracemalloc.start()
        try:
            for number in range(20):
                assert all(len(word) <= LONGEST for word in words(f"{number}{letter * 10_000}"))
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 200_000

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
        assert asked(text) == [] or snippet(text, asked(text)).html is not None

    @given(TEXTS, TEXTS)
    def test_a_snippet_has_no_markup_but_its_marks(self, text: str, query: str):
        shown = snippet(f"{text}<b>&'\"", asked(f"{query} b")).html or ""
        assert shown
        bare = shown.replace("<mark>", "").replace("</mark>", "")
        assert not {"<", ">", "'", '"'} & set(bare)
        assert shown.count("<mark>") == shown.count("</mark>") > 0


class TestSnippet:
    @pytest.mark.parametrize("q", ["printer", "toner printer", "pri*", '"the printer"'])
    def test_nothing_is_read_behind_a_piece_that_has_all(self, q: str):
        text = f"{'x ' * 1_000} toner for the printer {'printer and other words ' * 2_000}"
        shown = snippet(text, asked(q))
        assert "<mark>" in (shown.html or "")
        assert shown.read < 5_000

    def test_of_many_matches_so_many_are_looked_at(self):
        assert snippet("a " * 25_000, asked("a b")).read < 5_000
        assert snippet("a b " * 12_000, asked('"a a" "a b a" a* b')).read < 5_000

    def test_how_much_is_compared_grows_with_the_text_alone(self):
        """Each of many matches was once compared with all behind it."""
        letters = "abcdefghijklmnopqrstuvwx"
        spread = " ".join(f"{letter} {'z ' * 100}" for letter in letters)
        compared: list[int] = []
        for times in (4, 16):
            calls = 0

            def count(*_: object) -> None:
                nonlocal calls
                calls += 1

            sys.setprofile(count)
            try:
                snippet(spread * times, asked(" ".join(letters)))
            finally:
                sys.setprofile(None)
            compared.append(calls)
        assert compared[1] < 5 * compared[0]
