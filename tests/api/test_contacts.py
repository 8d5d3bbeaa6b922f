"""Contacts: the people who raise tickets."""

import pytest

from api.checks import ids, made, problem


class TestListContacts:
    def test_it_finds_an_address_in_any_letter_case(self, tenant, agent):
        contact = tenant.contact(email="Jo.Doe@example.com")
        tenant.contact()
        assert contact["email"] == "jo.doe@example.com"
        assert ids(agent.get("/contacts", params={"email": "JO.DOE@example.com"})) == [contact["id"]]

    def test_it_finds_an_external_id_exactly(self, tenant, agent):
        contact = tenant.contact(external_id="CRM 7/ä")
        tenant.contact(external_id="crm 7/ä")
        assert ids(agent.get("/contacts", params={"external_id": "CRM 7/ä"})) == [contact["id"]]

    def test_filters_are_combined_with_and(self, tenant, agent):
        contact = tenant.contact(external_id="1")
        assert ids(agent.get("/contacts", params={"external_id": "1", "email": contact["email"]})) == [contact["id"]]
        assert ids(agent.get("/contacts", params={"external_id": "2", "email": contact["email"]})) == []


class TestCreateContact:
    def test_what_is_not_sent_is_empty(self, tenant, agent):
        body = made(agent.post("/contacts", json={"email": "New@Example.com", "name": "New"}))
        expected = {"email": "new@example.com", "external_id": None, "attributes": {}, "user_id": None}
        assert expected.items() <= body.items()
        assert body["organization_id"] == tenant.id

    @pytest.mark.parametrize("field", ["email", "external_id"])
    def test_what_is_unique_in_the_organization_is_a_409(self, tenant, agent, other, field):
        contact = tenant.contact(external_id="7")
        body = {"email": "other@example.com", "name": "N", field: contact[field]}
        told = problem(agent.post("/contacts", json=body), 409, "already_exists", f"/{field}")["detail"]
        assert f"GET /contacts?{field}= finds it" in told
        made(other.client("agent").post("/contacts", json=body))

    def test_an_address_is_the_same_in_any_letter_case(self, tenant, agent):
        email = tenant.contact()["email"]
        problem(agent.post("/contacts", json={"email": email.upper(), "name": "N"}), 409, "already_exists", "/email")

    def test_many_may_have_no_external_id(self, tenant):
        assert {tenant.contact(external_id=None)["external_id"] for _ in range(2)} == {None}

    def test_attributes_come_back_as_they_were_sent(self, tenant):
        attributes = {"vip": True, "seats": 12, "rate": 0.5, "note": "ä€😀", "none": None, "big": 2**53 - 1}
        assert tenant.contact(attributes=attributes)["attributes"] == attributes

    @pytest.mark.parametrize(
        ("attributes", "pointer"),
        [
            ([], "/attributes"),
            (None, "/attributes"),
            ({"a": {}}, "/attributes/a"),
            ({"a": []}, "/attributes/a"),
            ({"a": 2**53}, "/attributes/a"),
            ({"a": "x" * 1001}, "/attributes/a"),
            ({"": 1}, "/attributes"),
            ({"a\n": 1}, "/attributes"),
            ({"x" * 101: 1}, "/attributes"),
            ({f"f{n}": n for n in range(51)}, "/attributes"),
        ],
    )
    def test_attributes_are_bounded(self, agent, attributes, pointer):
        response = agent.post("/contacts", json={"email": "a@example.com", "name": "N", "attributes": attributes})
        problem(response, 400, "invalid_request", pointer)

    def test_the_account_behind_it_cannot_be_chosen(self, agent):
        response = agent.post("/contacts", json={"email": "a@example.com", "name": "N", "user_id": 1})
        problem(response, 400, "invalid_request", "/user_id")


class TestGetContact:
    def test_the_contact_of_an_account_names_it(self, tenant, agent, user):
        ticket = made(user.post("/tickets", json={"subject": "S", "description": ""}))
        body = agent.get(f"/contacts/{ticket['contact_id']}").json()
        account = tenant.users["user"]
        assert (body["user_id"], body["email"], body["name"]) == (account.id, account.email, account.name)


class TestUpdateContact:
    def test_null_takes_the_external_id_away(self, tenant, agent):
        contact = tenant.contact(external_id="7")
        assert agent.patch(f"/contacts/{contact['id']}", json={"external_id": None}).json()["external_id"] is None

    def test_attributes_are_replaced_as_a_whole(self, tenant, agent):
        contact = tenant.contact(attributes={"a": 1, "b": 2})
        body = agent.patch(f"/contacts/{contact['id']}", json={"attributes": {"b": 3}}).json()
        assert body["attributes"] == {"b": 3}

    @pytest.mark.parametrize(("old", "new"), [(1, True), (True, 1), (0, False)])
    def test_a_number_is_not_a_boolean(self, tenant, agent, old, new):
        contact = tenant.contact(attributes={"a": old})
        body = agent.patch(f"/contacts/{contact['id']}", json={"attributes": {"a": new}}).json()
        assert body["attributes"]["a"] is new
        assert body["version"] == 2

    def test_the_order_of_attributes_does_not_count(self, tenant, agent):
        contact = tenant.contact(attributes={"a": 1, "b": 2})
        body = agent.patch(f"/contacts/{contact['id']}", json={"attributes": {"b": 2, "a": 1}}).json()
        assert body["version"] == 1

    @pytest.mark.parametrize("field", ["email", "external_id"])
    def test_what_is_unique_in_the_organization_is_a_409(self, tenant, agent, field):
        one, another = tenant.contact(external_id="1"), tenant.contact(external_id="2")
        response = agent.patch(f"/contacts/{one['id']}", json={field: another[field]})
        problem(response, 409, "already_exists", f"/{field}")
        assert agent.get(f"/contacts/{one['id']}").json() == one


class TestDeleteContact:
    def test_a_contact_with_tickets_is_in_use(self, tenant, admin, agent):
        contact = tenant.contact()
        ticket = tenant.ticket(contact_id=contact["id"])
        problem(agent.delete(f"/contacts/{contact['id']}"), 409, "in_use")
        admin.delete(f"/tickets/{ticket['id']}")
        assert agent.delete(f"/contacts/{contact['id']}").status_code == 204

    def test_what_they_said_stays_without_their_name(self, tenant, agent, user):
        ticket = made(user.post("/tickets", json={"subject": "S", "description": ""}))
        comment = made(user.post(f"/tickets/{ticket['id']}/comments", json={"body": "B"}))
        assert comment["author_id"] == ticket["contact_id"]
        agent.patch(f"/tickets/{ticket['id']}", json={"contact_id": tenant.contact()["id"]})
        assert agent.delete(f"/contacts/{ticket['contact_id']}").status_code == 204
        left = agent.get(f"/comments/{comment['id']}").json()
        assert (left["author_type"], left["author_id"]) == ("contact", None)


class TestListContactTickets:
    def test_it_shows_what_the_contact_raised(self, tenant, admin, agent, user):
        contact = tenant.contact()
        own = [tenant.ticket(contact_id=contact["id"])["id"] for _ in range(2)]
        tenant.ticket()
        address = f"/contacts/{contact['id']}/tickets"
        for client in (admin, agent):
            assert ids(client.get(address)) == own[::-1]
        problem(user.get(address), 403, "forbidden")
