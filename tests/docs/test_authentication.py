"""The page on signing in does what it says, typed as it is there."""

from pathlib import Path

from docs.walk import answers, walk
from tickets.settings import shipped


def test_each_flow_shows_what_it_promises(tmp_path: Path):
    page = shipped("docs").joinpath("authentication.md").read_text()
    printed = answers(walk(page, tmp_path))
    assert printed[:2] == [
        {"email": "fay@globex.example", "verification_required": False},
        {"email": "fay@globex.example", "verified": True},
    ]
    me, reused, cut_off, asked, confirmed, signed_out, nobody, listed, rotated, revoked, dead = printed[2:]
    assert (me["role"], me["organization"]["name"]) == ("admin", "Globex")
    assert me["email_verified_at"] is not None
    assert reused["code"] == cut_off["code"] == "unauthorized"
    assert asked == {"email": "fay@globex.example", "expires_in": 3600}
    assert confirmed == signed_out == {"status": 204}
    assert nobody["code"] == "unauthorized"
    assert listed["data"] == []
    assert rotated["scopes"] == ["tickets:read"]
    assert revoked == {"status": 204}
    assert dead["code"] == "unauthorized"
