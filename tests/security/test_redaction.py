"""Whatever is planted where, no secret survives in what is written down of a request."""

import json
import time
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.http import redaction
from tickets.http.redaction import CUT, MAX_BODY, REDACTED

WORDS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


def made_of(letters: str, size: int) -> st.SearchStrategy[str]:
    return st.text(letters, min_size=size, max_size=size)


# Each has a Q, which nothing around it has: what surrounds a secret shall not be one by chance.
KEYS = st.builds("tk_{}_Q{}".format, made_of(WORDS[:26] + "0123456789", 8), made_of(WORDS, 31))
REFRESH_TOKENS = made_of(WORDS, 42).map("tr_Q{}".format)
WEBHOOK_SECRETS = made_of(WORDS[:62] + "+/", 31).map("whsec_Q{}=".format)
JWTS = st.builds("eyJQ{}.eyJ{}.{}".format, made_of(WORDS, 19), made_of(WORDS, 40), made_of(WORDS, 43))
BEARERS = made_of(WORDS, 23).map("Bearer Q{}".format)
BY_LOOKS = KEYS | REFRESH_TOKENS | WEBHOOK_SECRETS | JWTS | BEARERS
"""Secrets that are known wherever they are."""
PLAIN = made_of(WORDS, 19).map("Q{}".format)
"""Secrets that only their name gives away."""

STEMS = st.builds(
    lambda before, word, after: f"{before}{word}{after}",
    st.sampled_from(["", "new_", "x-", "client"]),
    st.sampled_from(
        (
            *(
                "password",
                "Passwd",
                "token",
                "refresh_token",
                "ACCESS_TOKEN",
                "secret",
                "apiKey",
                "passphrase",
                "userPwd",
            ),
            *("passphrase", "authorization", "Cookie", "credentials", "signature", "jwt", "pwd", "passcode", "apikey"),
        )
    ),
    st.sampled_from(["", "s", "_2", "Hash"]),
)
SHORT = st.builds(
    lambda before, word, after: f"{before}{word}{after}",
    st.sampled_from(["", "new_", "x-", "card.", "sms "]),
    st.sampled_from(("key", "code", "otp", "pass", "pin", "Pin", "PIN", "OTPCode", "userPass", "resetCode")),
    st.sampled_from(["", "s", "_2", "Hash", "-value"]),
)
NAMES = STEMS | SHORT
"""Names of secrets; short words stand apart, since they mean something else inside of others."""
TEXTS = st.text(max_size=40).map(lambda text: text.replace("Q", ""))
PLAIN_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def planted(draw: Any) -> tuple[Any, str]:
    """A document with a secret somewhere inside."""
    by_name = draw(st.booleans())
    secret = draw(PLAIN if by_name else BY_LOOKS)
    around = draw(st.tuples(TEXTS, TEXTS))
    document: Any = around[0] + secret + around[1]
    if by_name:
        document = {draw(NAMES): draw(st.sampled_from([secret, [secret], {"value": secret}]))}
    elif draw(st.booleans()):
        document = {document: 1}
    for _ in range(draw(st.integers(0, 40))):
        if draw(st.booleans()):
            document = [*draw(st.lists(PLAIN_JSON, max_size=2)), document]
        else:
            document = {**draw(st.dictionaries(TEXTS, PLAIN_JSON, max_size=2)), draw(TEXTS): document}
    return document, secret.removeprefix("Bearer ")


class TestBody:
    @given(planted())
    def test_no_planted_secret_survives(self, document_and_secret):
        document, secret = document_and_secret
        kept = redaction.body(document)
        assert secret not in kept
        assert secret not in json.dumps(kept)

    @given(secret=BY_LOOKS, before=st.integers(MAX_BODY - 100, MAX_BODY + 10))
    def test_nor_does_one_that_is_cut_in_two(self, secret, before):
        kept = redaction.body({"text": "x" * (before - 1) + " " + secret})
        secret = secret.removeprefix("Bearer ")
        assert not any(secret[: n + 20] in kept for n in range(len(secret) - 20))
        assert len(kept.encode()) <= MAX_BODY + len(CUT.encode())

    @given(PLAIN_JSON)
    def test_what_holds_none_is_kept_as_it_is(self, document):
        document = {"value": document}
        kept = redaction.body(document)
        if len(kept) < MAX_BODY and REDACTED not in kept:
            assert json.loads(kept) == document

    @pytest.mark.parametrize("document", [["x" * 100] * 10_000, {str(n): n for n in range(100_000)}, "ü" * 1_000_000])
    def test_a_large_one_is_cut_and_says_so(self, document):
        kept = redaction.body(document)
        assert kept.endswith(CUT)
        assert MAX_BODY - 2_000 <= len(kept.encode()) <= MAX_BODY + len(CUT.encode())

    def test_a_deep_one_is_cut_and_says_so(self):
        document: Any = {"password": "swordfish"}
        for _ in range(60):
            document = [document]
        assert redaction.body(document).endswith(CUT)
        assert "swordfish" not in redaction.body(document)

    def test_a_number_no_database_holds_is_text(self):
        assert redaction.body({"subject": 10**300}) == '{"subject":' + str(10**300) + "}"

    def test_words_that_only_sound_alike_are_kept(self):
        text = "art_deco, tr_TR, the bearer of it, eyJafjall, https://example.com/a@b"
        assert json.loads(redaction.body({"description": text, "api_key_id": 5})) == {
            "description": text,
            "api_key_id": 5,
        }

    @pytest.mark.parametrize(
        "name",
        [
            *(
                "error_code",
                "errorCode",
                "keyboard",
                "postcode",
                "postal_code",
                "country-code",
                "statusCodes",
                "barcode",
            ),
            *("monkey", "compass", "passenger", "shopping", "spin", "footpath", "sort_key", "publicKey", "api_key_id"),
        ],
    )
    def test_names_that_only_sound_alike_are_kept(self, name):
        assert json.loads(redaction.body({"custom_fields": {name: "N1"}})) == {"custom_fields": {name: "N1"}}
        assert redaction.query(f"{name}=N1".encode()) == f"{name}=N1"

    @pytest.mark.parametrize("name", ["pass", "pwd", "PWD", "pin", "otp", "user_pass", "newPwd", "cardPin"])
    def test_passwords_by_their_short_names_are_not(self, name):
        assert json.loads(redaction.body({"email": "a@b.example", name: "hunter2"}))[name] == REDACTED

    def test_what_looks_like_the_end_of_a_name_inside_a_text_hides_none(self):
        assert "hunter2" not in redaction.body({"a": ",", "b": ":x", ":pwd": "hunter2"})


class TestQuery:
    @given(name=NAMES, secret=PLAIN, other=TEXTS)
    def test_no_secret_survives_under_its_name(self, name, secret, other):
        kept = redaction.query(f"q={quote_plus(other)}&{quote_plus(name)}={secret}&limit=5".encode())
        assert secret not in kept
        assert kept.endswith(f"={REDACTED}&limit=5")

    @given(secret=BY_LOOKS, text=TEXTS, encode=st.booleans())
    def test_nor_by_its_looks_in_a_value_or_a_name(self, secret, text, encode):
        sent = "".join(f"%{byte:02X}" for byte in (text + secret).encode()) if encode else quote_plus(text + secret)
        for query in (f"q={sent}", f"{sent}=1", sent):
            kept = redaction.query(query.encode())
            assert secret.removeprefix("Bearer ") not in kept
            assert sent not in kept

    def test_any_other_is_kept_as_it_was_sent(self):
        query = "status=open&status=pending&created_from=2026-01-01T00%3A00%3A00Z&api_key_id=3&&x"
        assert redaction.query(query.encode()) == query

    def test_a_long_one_is_cut(self):
        assert len(redaction.query(b"q=" + b"x" * 7_000)) == redaction.MAX_TEXT


class TestPathAndAgent:
    @given(secret=BY_LOOKS, before=TEXTS, after=TEXTS)
    def test_no_secret_survives_by_its_looks(self, secret, before, after):
        bare = secret.removeprefix("Bearer ")
        assert bare not in redaction.path(f"/api/v1/{before}{secret}/{after}")
        assert bare not in redaction.agent(f"{before}{secret} {after}".encode())

    def test_a_password_in_an_address_goes(self):
        assert redaction.agent(b"bot (+https://ada:swordfish@example.com)") == "bot (+https://[redacted]@example.com)"

    def test_each_stays_on_one_line(self):
        assert redaction.path("/api/v1/a\nb\x00") == "/api/v1/a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


HOSTILE = {
    "beginnings of tokens within a word": "aeyJ",
    "of tokens": ".eyJ",
    "tokens that just do not end": "eyJaaaaaaaa",
    "beginnings of keys": "tk_",
    "keys that are one letter short": "tk_abcdefgh_aaaaaaaaaaaaaaa.",
    "refresh tokens": "atr_",
    "webhook secrets": "whsec_",
    "bearers of nothing": "bearer ",
    "one bearer of much nothing": " ",
    "addresses without an end": "://a",
    "addresses": "http://a:b",
    "parameters": "&",
    "parameters with names": "a&",
    "capitals": "aA",
    "quotes": '"',
}


class TestTime:
    """What anybody sends is looked at on the event loop: the time it takes may only grow as its length does."""

    @pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
    @pytest.mark.parametrize(
        "look",
        [redaction.text, redaction._sounds_secret.__wrapped__, redaction._STRINGS.findall],
        ids=["text", "name", "strings"],
    )
    def test_four_times_as_much_takes_some_four_times_as_long(self, look, piece):
        def least(size: int) -> float:
            hostile = "bearer " + piece * (size // len(piece))
            times = []
            for _ in range(9):
                began = time.thread_time()  # not what others do meanwhile
                look(hostile)
                times.append(time.thread_time() - began)
            return min(times)

        assert least(40_000) < 12 * least(10_000) + 0.002

    def test_what_is_cut_away_is_not_looked_at(self):
        assert redaction.path("/" + "x" * 5_000 + " Bearer aeyJaeyJaeyJ") == redaction.path("/" + "x" * 5_000)
