"""Searching tickets by their words, alone and as a filter of the list."""

from typing import Any

import pytest

from api.checks import NOBODY, problem, walk
from factories import Client, Tenant, catch_up


def found(client: Client, q: str, **asked: Any) -> list[dict[str, Any]]:
    """Search, and return the results of the first page."""
    answer = client.get("/search", params={"q": q, **asked})
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"data", "next_cursor", "prev_cursor"}
    results: list[dict[str, Any]] = answer.json()["data"]
    return results


def ids(client: Client, q: str, **asked: Any) -> list[int]:
    """Search, and return which tickets were found; the filter of the list has to find the same."""
    shown = [result["ticket"]["id"] for result in found(client, q, **asked)]
    if not asked:
        listed = client.get("/tickets", params={"search": q})
        assert listed.status_code == 200, listed.text
        assert [row["id"] for row in listed.json()["data"]] == sorted(shown, reverse=True)
    return shown


def snippets(client: Client, q: str) -> list[tuple[str, int | None, str]]:
    """Return the snippets of the only result."""
    [result] = found(client, q)
    return [(each["field"], each["comment_id"], each["text"]) for each in result["snippets"]]


class TestSearchTickets:
    def test_words_are_found_in_subject_description_and_comments(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket(subject="Printer on fire", description="It burns brightly.")
        comment = tenant.comment(ticket, body="The extinguisher is empty.")
        other = tenant.ticket(subject="Something else", description="Entirely.")
        assert ids(admin, "printer") == ids(admin, "burns") == ids(admin, "extinguisher") == [ticket["id"]]
        assert ids(admin, "else") == [other["id"]]
        [result] = found(admin, "extinguisher")
        assert result["ticket"] == admin.get(f"/tickets/{ticket['id']}").json()
        assert result["snippets"] == [
            {"field": "comment", "comment_id": comment["id"], "text": "The <mark>extinguisher</mark> is empty."}
        ]

    def test_a_document_has_to_have_all_the_words(self, tenant: Tenant, admin: Client):
        both = tenant.ticket(subject="Printer in Oslo", description="Broken.")
        tenant.ticket(subject="Printer in Ghent", description="Fine.")
        assert ids(admin, "oslo printer") == ids(admin, "broken printer oslo") == [both["id"]]
        tenant.comment(both, body="A technician comes.")
        assert ids(admin, "printer technician") == []

    def test_a_phrase_is_found_as_it_stands(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket(subject="The red printer", description="is slow and loud")
        assert ids(admin, '"red printer"') == ids(admin, 'loud "slow and"') == [ticket["id"]]
        assert ids(admin, '"printer red"') == []
        assert ids(admin, '"printer is"') == []  # the subject ends between them

    def test_the_beginning_of_a_word_is_found_with_an_asterisk(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket(subject="Printer", description="jammed again")
        assert ids(admin, "pri*") == ids(admin, "PRINTER*") == ids(admin, "aga* pri*") == [ticket["id"]]
        assert ids(admin, "pri") == ids(admin, "inter*") == ids(admin, "*inter") == []

    def test_what_is_written_without_a_blank_is_a_phrase(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket(subject="Your e-mail to ada@acme.example", description="INV-2024/17")
        tenant.ticket(subject="mail e", description="2024 inv")
        assert ids(admin, "e-mail") == ids(admin, "ada@acme.example") == ids(admin, "inv-2024/17") == [ticket["id"]]

    def test_the_subject_counts_most_and_often_counts_more(self, tenant: Tenant, admin: Client):
        text = "words about something else " * 10
        once = tenant.ticket(subject="One", description=f"{text} toner {text}")
        said = tenant.ticket(subject="Two", description=text)
        tenant.comment(said, body=f"toner and toner, says {text}")
        subject = tenant.ticket(subject="Toner", description=text)
        often = tenant.ticket(subject="Three", description=f"toner {text} toner {text} toner")
        tenant.ticket(subject="None", description=text)
        assert ids(admin, "toner", limit=10) == [subject["id"], said["id"], often["id"], once["id"]]

    def test_a_word_that_is_said_again_at_once_counts_again(self, tenant: Tenant, admin: Client):
        often = tenant.ticket(subject="One", description="toner toner toner, and then so")
        less = tenant.ticket(subject="Two", description="toner and toner, and then")
        assert ids(admin, "toner", limit=10) == [often["id"], less["id"]]

    def test_of_equal_matches_the_newest_comes_first(self, tenant: Tenant, admin: Client):
        made = [tenant.ticket()["id"] for _ in range(3)]
        assert ids(admin, "printer") == made[::-1]

    def test_a_ticket_is_one_result_whatever_matches_on_it(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket(subject="Printer", description="The printer.")
        comments = [tenant.comment(ticket, body=f"printer {number}")["id"] for number in range(5)]
        shown = snippets(admin, "printer")
        assert [each[:2] for each in shown] == [
            ("subject", None),
            ("description", None),
            *(("comment", comment_id) for comment_id in comments[:1:-1]),
        ]

    def test_changes_are_found_at_once(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket(subject="Printer", description="Old words.")
        comment = tenant.comment(ticket, body="Something was said.")
        address = f"/tickets/{ticket['id']}"
        assert admin.patch(address, json={"subject": "Scanner"}).status_code == 200
        assert (ids(admin, "printer"), ids(admin, "scanner old")) == ([], [ticket["id"]])
        assert admin.patch(f"/comments/{comment['id']}", json={"body": "Nothing then."}).status_code == 200
        assert (ids(admin, "something"), ids(admin, "nothing")) == ([], [ticket["id"]])
        assert admin.delete(f"/comments/{comment['id']}").status_code == 204
        assert ids(admin, "nothing") == []
        assert admin.delete(address).status_code == 204
        assert ids(admin, "scanner") == []

    def test_a_ticket_that_is_replaced_has_its_new_words(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket(subject="Printer", description="Old words.")
        whole = {name: ticket[name] for name in ("status", "priority", "type", "contact_id")}
        whole |= {"subject": "New", "description": "Fresh."}
        assert admin.put(f"/tickets/{ticket['id']}", json=whole).status_code == 200
        assert (ids(admin, "printer"), ids(admin, "fresh")) == ([], [ticket["id"]])

    def test_what_was_said_is_found_on_the_ticket_that_it_was_merged_into(self, tenant: Tenant, admin: Client):
        source, into = tenant.ticket(subject="Source"), tenant.ticket(subject="Target")
        tenant.comment(source, body="Said before.")
        assert admin.post(f"/tickets/{source['id']}/merge", json={"into": into["id"]}).status_code == 200
        assert ids(admin, "before") == [into["id"]]
        assert ids(admin, "source") == [source["id"]]

    def test_what_goes_with_a_ticket_is_found_no_more(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket()
        tenant.comment(ticket, body="Said once.")
        assert admin.delete(f"/tickets/{ticket['id']}").status_code == 204
        assert ids(admin, "once") == []

    def test_without_a_match_nothing_is_found(self, tenant: Tenant, admin: Client):
        tenant.ticket()
        assert ids(admin, "unheard") == []
        assert ids(admin, "printer unheard") == []

    @pytest.mark.parametrize("q", ["*", '"', '""', "?!", "* * *", '"…" --', "  ", "( )", "^", "\N{ZERO WIDTH JOINER}"])
    def test_where_no_word_is_asked_for_nothing_matches(self, tenant: Tenant, admin: Client, q: str):
        tenant.ticket(description='* " ? ( ) ^ …')
        assert ids(admin, q) == []

    def test_limits_of_what_can_be_asked(self, admin: Client):
        problem(admin.get("/search"), 400, "invalid_request", "/q", where="query")
        problem(admin.get("/search?q="), 400, "invalid_request", "/q", where="query")
        problem(admin.get("/search", params={"q": "x" * 201}), 400, "invalid_request", "/q", where="query")
        problem(admin.get("/tickets", params={"search": "x" * 201}), 400, "invalid_request", "/search", where="query")
        problem(admin.get("/search?q=x&q=y"), 400, "invalid_request", "/q", where="query")
        assert ids(admin, "x" * 200) == []

    def test_more_beginnings_of_words_than_can_be_looked_up_are_refused(self, tenant: Tenant, admin: Client):
        tenant.ticket(subject="alpha beta gamma delta epsilon")
        assert len(ids(admin, "a* b* g* d*")) == 1
        for path, name in (("/search", "q"), ("/tickets", "search")):
            answer = admin.get(path, params={name: "a* b* g* d* e*"})
            assert "5" in problem(answer, 400, "invalid_request", f"/{name}", where="query")["detail"]

    @pytest.mark.parametrize(
        ("q", "words", "bound"),
        [
            (f'"{"the " * 13}"', 13, 12),
            ("the-" * 13, 13, 12),
            ("\N{CJK UNIFIED IDEOGRAPH-6771}" * 14, 13, 12),
            (" ".join("abcdefghijklmnopqrstuvwxy"), 25, 24),
            ('"a b c d e f g h i" "j k l m n o p q r" "s t u v w x y"', 25, 24),
        ],
        ids=ascii,
    )
    def test_more_words_than_can_be_looked_up_are_refused(self, admin: Client, q: str, words: int, bound: int):
        for path, name in (("/search", "q"), ("/tickets", "search")):
            answer = admin.get(path, params={name: q})
            detail = problem(answer, 400, "invalid_request", f"/{name}", where="query")["detail"]
            assert f"has {words} words" in detail
            assert f" {bound}" in detail

    def test_as_many_words_as_can_be_looked_up_are_found(self, tenant: Tenant, admin: Client):
        text = "a b c d e f g h i j k l m n o p q r s t u v w x"
        unspaced = "\N{CJK UNIFIED IDEOGRAPH-6771}" * 13
        ticket = tenant.ticket(subject="Letters", description=f"{text} {unspaced}")
        for q in (text, f'"{text[:23]}" "{text[24:]}"', unspaced):
            assert ids(admin, q) == [ticket["id"]]

    def test_without_a_key(self, anonymous: Client):
        problem(anonymous.get("/search?q=printer"), 401, "unauthorized")

    def test_a_key_needs_the_scope(self, tenant: Tenant):
        with tenant.client(scopes=["tickets:read"]) as client:
            problem(client.get("/search?q=printer"), 403, "insufficient_scope")
            problem(client.get("/tickets?search=printer"), 403, "insufficient_scope", "/search", where="query")
        with tenant.client(scopes=["search:read"]) as client:
            assert found(client, "printer") == []

    def test_the_operator_searches_no_tickets(self, tenant: Tenant):
        problem(tenant.client("platform").get("/search?q=printer"), 403, "forbidden")


class TestWhoFindsWhat:
    def test_nothing_of_another_tenant_is_found_nor_changes_an_answer(
        self, tenant: Tenant, other: Tenant, admin: Client
    ):
        mine = tenant.ticket(subject="Printer one", description="printer")
        tenant.ticket(subject="Two", description="a printer, and many more words about a printer")
        before = [admin.get(path).content for path in ("/search?q=printer", "/tickets?search=printer")]
        theirs = other.ticket(subject="Printer", description="printer " * 200)
        other.comment(theirs, body="printer " * 2_000)
        assert [admin.get(path).content for path in ("/search?q=printer", "/tickets?search=printer")] == before
        assert ids(other.client(), "printer") == [theirs["id"]]
        assert mine["id"] in ids(admin, "printer")

    @pytest.mark.parametrize("q", ["{id}xprinter", "{id}c*", "{id}*", "{id}x*", "seen_by:{id}", '"{id}xprinter"'])
    def test_the_words_of_the_index_itself_find_nothing(self, tenant: Tenant, other: Tenant, admin: Client, q: str):
        tenant.ticket()
        other.ticket()
        assert ids(admin, q.format(id=tenant.id)) == ids(admin, q.format(id=other.id)) == []

    def test_a_user_finds_their_own_tickets_alone(self, tenant: Tenant, user: Client):
        own = user.post("/tickets", json={"subject": "My printer", "description": "It jams."}).json()
        tenant.ticket(subject="Another printer")
        assert ids(user, "printer") == ids(user, "pr*") == [own["id"]]

    def test_a_user_finds_nothing_in_internal_notes(self, tenant: Tenant, user: Client, agent: Client):
        own = user.post("/tickets", json={"subject": "My printer", "description": "It jams."}).json()
        note = tenant.comment(own, body="A difficult customer.", visibility="internal")
        tenant.comment(own, body="A technician comes.")
        assert (ids(user, "difficult"), ids(user, "technician")) == ([], [own["id"]])
        assert ids(agent, "difficult") == [own["id"]]
        assert agent.patch(f"/comments/{note['id']}", json={"visibility": "public"}).status_code == 403
        admin = tenant.client("admin")
        assert admin.patch(f"/comments/{note['id']}", json={"visibility": "public"}).status_code == 200
        assert ids(user, "difficult") == [own["id"]]
        assert admin.patch(f"/comments/{note['id']}", json={"visibility": "internal"}).status_code == 200
        assert ids(user, "difficult") == []

    def test_a_ticket_that_gets_another_contact_is_theirs_with_all_that_was_said(self, tenant: Tenant, user: Client):
        own = user.post("/tickets", json={"subject": "My printer", "description": "It jams."}).json()
        tenant.comment(own, body="A technician comes.")
        tenant.comment(own, body="A difficult customer.", visibility="internal")
        admin, contact = tenant.client("admin"), tenant.contact()
        address = f"/tickets/{own['id']}"
        assert admin.patch(address, json={"contact_id": contact["id"]}).status_code == 200
        assert [ids(user, word) for word in ("jams", "technician", "difficult")] == [[], [], []]
        assert admin.patch(address, json={"contact_id": own["contact_id"]}).status_code == 200
        assert [ids(user, word) for word in ("jams", "technician", "difficult")] == [[own["id"]], [own["id"]], []]

    def test_a_user_who_has_no_contact_yet_finds_nothing(self, tenant: Tenant, user: Client):
        tenant.ticket()
        assert ids(user, "printer") == []

    def test_a_merged_note_is_seen_by_nobody_new(self, tenant: Tenant, user: Client):
        own = user.post("/tickets", json={"subject": "My printer", "description": "It jams."}).json()
        source = tenant.ticket(subject="Source", contact_id=tenant.contact()["id"])
        tenant.comment(source, body="difficult", visibility="internal")
        tenant.comment(source, body="technician")
        assert tenant.client().post(f"/tickets/{source['id']}/merge", json={"into": own["id"]}).status_code == 200
        assert (ids(user, "difficult"), ids(user, "technician")) == ([], [own["id"]])


class TestAnyText:
    """Whatever somebody types is text: there are no operators, and nothing is an error of the index."""

    @pytest.mark.parametrize(
        "q",
        [
            "NOT printer",
            "printer AND",
            "OR",
            "NEAR(printer fire, 2)",
            "subject:printer",
            "{subject body}: printer",
            "-subject : printer",
            "^printer",
            "(printer",
            "printer)",
            '"printer',
            'printer"',
            "'printer'; DROP TABLE tickets; --",
            "printer + fire",
            "printer%",
            "pr_nter",
            "printer\\",
            "a:b:c",
            '"" "" ""',
            "***",
            '"pri*"',
            "\ud83d",
            "\N{RIGHT-TO-LEFT OVERRIDE}printer",
            "printer" + "\N{COMBINING ACUTE ACCENT}" * 150,
            "(" * 200,
            '"' * 199,
            "a " * 99,
            "\N{CJK UNIFIED IDEOGRAPH-6771}" * 13,
        ],
        ids=ascii,
    )
    def test_it_is_answered(self, tenant: Tenant, admin: Client, q: str):
        tenant.ticket(subject="x")
        try:
            encoded = q.encode()
        except UnicodeEncodeError:  # half a character is no UTF-8
            encoded = q.encode(errors="surrogatepass")
            answer = admin.get("/search?q=" + "".join(f"%{byte:02x}" for byte in encoded))
            problem(answer, 400, "invalid_request", "/q", where="query")
            return
        assert ids(admin, encoded.decode()) == []

    def test_what_looks_like_an_operator_is_a_word(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket(subject="To be or not to be", description="near and far")
        for q in ("OR", "NOT", "AND", "NEAR", '"or not"', "be OR not", "NOT be"):
            assert ids(admin, q) == [ticket["id"]], q

    def test_control_characters_are_refused_as_everywhere(self, admin: Client):
        for character in ("%00", "%0A", "%7F"):
            assert admin.get(f"/search?q=a{character}b").status_code == 400

    def test_a_text_of_any_size_and_kind_is_taken_in_and_found(self, tenant: Tenant, admin: Client):
        for text in ("x", "a ", "\N{CJK UNIFIED IDEOGRAPH-6771}", "e\N{COMBINING ACUTE ACCENT}", "<&>", "\N{FIRE}"):
            ticket = tenant.ticket(subject="Long", description=f"{(text * 50_000)[:49_990]} needle")
            catch_up(tenant.database)
            assert ids(admin, "needle") == [ticket["id"]]
            assert admin.delete(f"/tickets/{ticket['id']}").status_code == 204


class TestAnyLanguage:
    @pytest.mark.parametrize(
        ("text", "queries"),
        [
            ("Die Straße nach Köln", ["strasse", "STRASSE", "koln", "KÖLN", "ko\N{COMBINING DIAERESIS}ln", "köl*"]),
            ("İstanbul'da ılık DIŞ kapı", ["istanbul", "ISTANBUL", "ILIK", "dis", "KAPI", "ıst*"]),
            ("naïve façade, Ångström", ["naive", "FACADE", "angstrom", "\N{ANGSTROM SIGN}ngström"]),
            ("ΟΔΟΣ Σωκράτους", ["οδος", "σωκρατους"]),
            ("Ёлка и чай", ["елка", "ЁЛКА", "чай"]),
            ("מקרא שָׁלוֹם", ["שלום", "שָׁלוֹם"]),
            ("مُحَمَّد لا يطبع", ["محمد", '"لا يطبع"']),
            ("東京タワーの印刷機が壊れた", ["東京", "京タ", "印刷機", "タワー", "機", "壊れた", "ﾀﾜｰ", "た", "印刷*"]),
            ("打印机在三楼着火了", ["打印", "打印机", "三楼", "火", "着火了"]),
            ("프린터가 고장났어요", ["프린터", "프린터가", "고장"]),
            ("เครื่องพิมพ์เสีย", ["เครื่องพิมพ์", "เสีย", "พิมพ์"]),
            ("हिन्दी में मदद", ["हिन्दी", "मदद"]),
            ("Server 🔥down 👩‍💻 ❤️", ["🔥", "down", "👩‍💻", "❤", "server 🔥"]),
            ("ﬁne ½ ｆｕｌｌ Ⅻ", ["fine", "full", "xii"]),
        ],
        ids=lambda value: ascii(value)[:20],
    )
    def test_any_word_is_found_whatever_its_case_and_accents(
        self, tenant: Tenant, admin: Client, text: str, queries: list[str]
    ):
        ticket = tenant.ticket(subject="Nothing", description=text)
        tenant.ticket(subject="Other", description="words")
        for q in queries:
            assert ids(admin, q) == [ticket["id"]], q
            assert any("<mark>" in shown for _, _, shown in snippets(admin, q)), q

    def test_other_characters_are_other_words(self, tenant: Tenant, admin: Client):
        tenant.ticket(subject="東京", description="страница")
        for q in ("京東", "東西", "странно", "🔥"):
            assert ids(admin, q) == [], q


class TestSnippets:
    def test_matches_are_marked_and_nothing_else_is_markup(self, tenant: Tenant, admin: Client):
        tenant.ticket(subject='<script>alert("x")</script>', description="a & b <mark>c</mark> 'd'")
        assert snippets(admin, "alert c") == [
            ("subject", None, "&lt;script&gt;<mark>alert</mark>(&quot;x&quot;)&lt;/script&gt;"),
            ("description", None, "a &amp; b &lt;mark&gt;<mark>c</mark>&lt;/mark&gt; &#x27;d&#x27;"),
        ]
        # A part of an entity is no word of the text.
        assert ids(admin, "amp") == ids(admin, "quot") == []

    def test_of_a_long_text_the_part_with_most_matches_is_shown(self, tenant: Tenant, admin: Client):
        filler = "nothing to see here " * 100
        tenant.ticket(subject="Long", description=f"printer {filler} the printer in Oslo is red {filler}")
        [(_, _, shown)] = snippets(admin, "red printer oslo")
        assert "the <mark>printer</mark> in <mark>Oslo</mark> is <mark>red</mark>" in shown
        assert shown.startswith("…")
        assert shown.endswith("…")
        assert len(shown) < 260

    def test_a_phrase_is_one_mark_and_a_beginning_marks_its_word(self, tenant: Tenant, admin: Client):
        tenant.ticket(subject="The red  printer prints", description="red")
        assert snippets(admin, '"red printer" pri*') == [
            ("subject", None, "The <mark>red printer</mark> <mark>prints</mark>")
        ]

    def test_characters_of_a_script_without_blanks_are_marked_alone(self, tenant: Tenant, admin: Client):
        tenant.ticket(subject="東京タワーの印刷機", description="京")
        assert snippets(admin, "タワー")[0][2] == "東京<mark>タワー</mark>の印刷機"
        assert snippets(admin, "京")[0][2] == "東<mark>京</mark>タワーの印刷機"

    def test_of_a_match_that_is_longer_than_a_snippet_the_beginning_is_shown(self, tenant: Tenant, admin: Client):
        tenant.ticket(subject="Data", description=f"before {'x' * 40_000} behind")
        [(_, _, shown)] = snippets(admin, "xx*")
        assert shown.startswith("before <mark>xxx")
        assert shown.endswith("xxx</mark>…")
        assert len(shown) < 700

    def test_blank_lines_are_one_blank(self, tenant: Tenant, admin: Client):
        tenant.ticket(subject="Lines", description="one\n\n\ttwo\r\n\x01three\x7f")
        assert snippets(admin, "two")[0][2] == "one <mark>two</mark> three"


class TestPages:
    def test_a_walk_meets_every_result_once_in_the_order_of_one_page(self, tenant: Tenant, admin: Client):
        made = [tenant.ticket(subject=f"Printer {'printer ' * (number % 4)}")["id"] for number in range(23)]
        whole = [result["ticket"]["id"] for result in found(admin, "printer", limit=50)]
        walked = [result["ticket"]["id"] for result in walk(admin, "/search", q="printer", limit=5)]
        assert walked == whole
        assert sorted(walked) == made

    def test_the_way_back_is_the_way_there(self, tenant: Tenant, admin: Client):
        for number in range(7):
            tenant.ticket(subject=f"Printer {'printer ' * (number % 3)}")
        first = admin.get("/search", params={"q": "printer", "limit": 3}).json()
        assert first["prev_cursor"] is None
        second = admin.get("/search", params={"q": "printer", "limit": 3, "cursor": first["next_cursor"]})
        assert f"cursor={second.json()['next_cursor']}" in second.headers["link"]
        back = admin.get("/search", params={"q": "printer", "limit": 3, "cursor": second.json()["prev_cursor"]}).json()
        assert back["data"] == first["data"]
        assert (back["prev_cursor"], back["next_cursor"]) == (None, first["next_cursor"])

    def test_what_others_do_meanwhile_neither_repeats_nor_hides_a_result(self, tenant: Tenant, admin: Client):
        made = [tenant.ticket()["id"] for _ in range(9)]
        first = admin.get("/search", params={"q": "printer", "limit": 4}).json()
        shown = [result["ticket"]["id"] for result in first["data"]]
        tenant.ticket(subject="printer printer printer")
        assert admin.delete(f"/tickets/{shown[-1]}").status_code == 204
        rest = walk(admin, "/search", q="printer", limit=4, cursor=first["next_cursor"])
        assert shown + [result["ticket"]["id"] for result in rest] == made[::-1]

    def test_a_cursor_is_good_for_its_own_search_alone(self, tenant: Tenant, other: Tenant, admin: Client):
        for _ in range(3):
            tenant.ticket()
        cursor = admin.get("/search", params={"q": "printer", "limit": 1}).json()["next_cursor"]
        for client, q in ((admin, "fire"), (other.client(), "printer"), (tenant.client("user"), "printer")):
            answer = client.get("/search", params={"q": q, "limit": 1, "cursor": cursor})
            problem(answer, 400, "invalid_request", "/cursor", where="query")


class TestSearchOfTheList:
    def test_it_is_combined_with_filters_sorts_and_pages(self, tenant: Tenant, admin: Client):
        made = [tenant.ticket(priority=("low", "high")[number % 2])["id"] for number in range(6)]
        tenant.ticket(subject="Other", description="words", priority="high")
        asked = {"search": "printer", "priority": "high", "sort": "created_at"}
        assert [row["id"] for row in walk(admin, "/tickets", **asked, limit=2)] == made[1::2]
        page = admin.get("/tickets", params={**asked, "page": 2, "per_page": 2}).json()
        assert ([row["id"] for row in page["data"]], page["total"]) == ([made[5]], 3)
        page = admin.get("/tickets", params={**asked, "offset": 1, "limit": 1}).json()
        assert ([row["id"] for row in page["data"]], page["total"]) == ([made[3]], 3)

    def test_a_search_for_nothing_matches_nothing(self, tenant: Tenant, admin: Client):
        tenant.ticket()
        assert admin.get("/tickets", params={"search": "?"}).json()["data"] == []
        assert admin.get("/tickets", params={"search": "?", "page": 1}).json()["total"] == 0

    def test_other_filters_that_match_nothing_leave_nothing(self, tenant: Tenant, admin: Client):
        tenant.ticket()
        assert admin.get("/tickets", params={"search": "printer", "contact_id": NOBODY}).json()["data"] == []

    @pytest.mark.parametrize("q", ["printer", "e-mail", 'a"', "AND", "{id}xpri* OR 2x*", "pri*"])
    def test_no_text_gets_to_the_index_where_another_filter_matches_nothing(
        self, tenant: Tenant, admin: Client, q: str
    ):
        tenant.ticket()
        asked = {"search": q.format(id=tenant.id)}
        nobody = tenant.client("user")  # who has no contact
        for client, more in ((nobody, {}), (nobody, {"tag": "vip"}), (admin, {"assigned_to": "9" * 19})):
            for page in ({}, {"page": 1}):
                answer = client.get("/tickets", params={**asked, **more, **page})
                assert answer.status_code == 200, answer.text
                assert answer.json()["data"] == []
        assert found(nobody, asked["search"]) == []
