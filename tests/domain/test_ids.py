"""Names the service makes up."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets import ids


class TestSlug:
    @pytest.mark.parametrize(
        ("name", "slug"),
        [
            ("Acme", "acme"),
            ("Ärger & Söhne GmbH", "arger-sohne-gmbh"),
            ("  --a__b--  ", "a-b"),
            ("123", "123"),
            ("日本", "org"),
            ("!", "org"),
            ("x" * 100, "x" * 63),
            ("x" * 62 + " y", "x" * 62),
        ],
    )
    def test_a_name_becomes_a_slug(self, name, slug):
        assert ids.slug(name) == slug

    @given(st.text(max_size=200))
    def test_any_name_gives_what_the_contract_calls_a_slug(self, name):
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", ids.slug(name))


class TestApiKey:
    def test_a_key_has_the_shape_that_partners_know(self):
        made = ids.api_key()
        assert re.fullmatch(r"tk_[a-z0-9]{8}_[A-Za-z0-9_-]{32}", made.key)
        assert made.key.startswith(made.prefix + "_")
        assert len(made.prefix) == 11

    def test_what_is_stored_is_its_sha_256(self):
        made = ids.api_key()
        assert made.digest == hashlib.sha256(made.key.encode()).digest() == ids.digest(made.key)

    def test_no_two_are_equal(self):
        assert len({ids.api_key().key for _ in range(100)}) == 100


def test_a_request_id_is_128_random_bits():
    assert re.fullmatch(r"[0-9a-f]{32}", ids.request_id())
    assert ids.request_id() != ids.request_id()
