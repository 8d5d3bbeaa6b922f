"""Users: the accounts of an organization."""

import pytest

from api.checks import ids, made, problem
from factories import PASSWORD, Client
from tickets.domain import access


class TestListUsers:
    def test_roles_are_combined_with_or(self, tenant, agent):
        made_ids = {role: tenant.user(role).id for role in ("admin", "agent", "user", "platform")}
        for roles in (["agent"], ["agent", "user"], ["platform"]):
            found = agent.get("/users", params={"role": roles}).json()["data"]
            assert {row["role"] for row in found} == set(roles)
            assert {made_ids[role] for role in roles} <= {row["id"] for row in found}

    @pytest.mark.parametrize("is_active", [True, False])
    def test_it_filters_by_activity(self, tenant, agent, is_active):
        made_ids = {flag: tenant.user("user", is_active=flag).id for flag in (True, False)}
        found = ids(agent.get("/users", params={"is_active": is_active}))
        assert made_ids[is_active] in found
        assert made_ids[not is_active] not in found

    def test_it_finds_an_address_in_any_letter_case(self, tenant, agent):
        user = tenant.user("user", email=f"Mixed.Case-{tenant.number}@example.com")
        assert ids(agent.get("/users", params={"email": f"mIXED.cASE-{tenant.number}@EXAMPLE.com"})) == [user.id]

    def test_filters_are_combined_with_and(self, tenant, agent):
        user = tenant.user("user", is_active=False)
        params = {"role": "agent", "is_active": False, "email": user.email}
        assert ids(agent.get("/users", params=params)) == []
        assert ids(agent.get("/users", params={**params, "role": "user"})) == [user.id]


class TestCreateUser:
    BODY = {"email": "new@example.com", "name": "New", "role": "agent"}  # noqa: RUF012 - no test changes it

    def test_it_is_active_and_its_address_in_lower_case(self, admin, tenant):
        email = f"New.One-{tenant.number}@Example.com"
        body = made(admin.post("/users", json={"email": email, "name": "New", "role": "agent"}))
        assert body == {
            "id": body["id"],
            "organization_id": tenant.id,
            "email": email.lower(),
            "email_verified_at": body["created_at"],
            "name": "New",
            "role": "agent",
            "is_active": True,
            "version": 1,
            "created_at": body["created_at"],
            "updated_at": body["updated_at"],
        }

    def test_an_address_is_unique_in_the_whole_service(self, admin, other):
        theirs = other.user("user")
        response = admin.post("/users", json={**self.BODY, "email": theirs.email.upper()})
        problem(response, 409, "already_exists", "/email")

    @pytest.mark.parametrize("role", ["platform", "root", "Admin", "", None])
    def test_only_the_command_line_makes_an_operator(self, admin, role):
        problem(admin.post("/users", json={**self.BODY, "role": role}), 400, "invalid_request", "/role")

    @pytest.mark.parametrize("email", ["x", "@example.com", "a@", "a b@example.com", "a@b@c", "a@example.com\n"])
    def test_what_is_no_address_is_a_400(self, admin, email):
        problem(admin.post("/users", json={**self.BODY, "email": email}), 400, "invalid_request", "/email")

    @pytest.mark.parametrize("name", ["", " ", "\t", "a\nb", "x" * 201])
    def test_a_name_is_one_line_that_is_not_blank(self, admin, name):
        response = admin.post("/users", json={**self.BODY, "name": name})
        assert {error["pointer"] for error in response.json()["errors"]} == {"/name"}
        assert response.status_code == 400

    def test_whose_own_address_is_not_verified_names_no_other(self, anonymous, mailbox, tenant):
        founder = f"founder-{tenant.number}@example.com"
        body = {"email": founder, "password": PASSWORD, "name": "F", "organization_name": "F"}
        anonymous.post("/auth/register", json=body)
        tokens = anonymous.post("/auth/login", json={"email": founder, "password": PASSWORD}).json()
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        theirs = tenant.user("user").email
        for email in (theirs, f"free-{tenant.number}@example.com"):
            refused = anonymous.post("/users", json={**self.BODY, "email": email}, headers=headers)
            problem(refused, 403, "email_not_verified")
            me = anonymous.get("/auth/me", headers=headers).json()["id"]
            refused = anonymous.patch(f"/users/{me}", json={"email": email}, headers=headers)
            problem(refused, 403, "email_not_verified")
        anonymous.post("/auth/email-otp/verify", json={"email": founder, "code": mailbox.code(founder)})
        tokens = anonymous.post("/auth/login", json={"email": founder, "password": PASSWORD}).json()
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        new = {**self.BODY, "email": f"free-{tenant.number}@example.com"}
        assert anonymous.post("/users", json=new, headers=headers).status_code == 201

    def test_a_contact_with_the_address_becomes_theirs_with_its_tickets(self, tenant, admin):
        contact = tenant.contact()
        ticket = tenant.ticket(contact_id=contact["id"])
        user = made(admin.post("/users", json={**self.BODY, "role": "user", "email": contact["email"]}))
        with tenant.database.read() as tx:
            record = access.contact_of(tx, tenant.id, user["id"])
        assert record.id == contact["id"]
        key = admin.post("/api-keys", json={"name": "K", "user_id": user["id"]}).json()["key"]
        with Client(tenant.origin, key) as client:
            assert ids(client.get("/tickets")) == [ticket["id"]]


class TestGetUser:
    def test_an_agent_reads_a_colleague(self, tenant, agent):
        user = tenant.user("user")
        assert agent.get(f"/users/{user.id}").json()["email"] == user.email


class TestUpdateUser:
    def test_deactivating_ends_the_keys_at_once_and_activating_brings_them_back(self, tenant, admin, agent):
        address = f"/users/{tenant.users['agent'].id}"
        assert agent.get("/tickets").status_code == 200
        assert admin.patch(address, json={"is_active": False}).json()["is_active"] is False
        problem(agent.get("/tickets"), 401, "unauthorized")
        assert admin.patch(address, json={"is_active": True}).status_code == 200
        assert agent.get("/tickets").status_code == 200

    def test_a_new_role_counts_at_once(self, tenant, admin, agent):
        problem(agent.get("/api-keys"), 403, "forbidden")
        admin.patch(f"/users/{tenant.users['agent'].id}", json={"role": "admin"})
        assert agent.get("/api-keys").status_code == 200

    @pytest.mark.parametrize("change", [{"role": "agent"}, {"is_active": False}, {"role": "user", "name": "N"}])
    def test_the_last_active_admin_keeps_role_and_access(self, tenant, admin, change):
        address = f"/users/{tenant.users['admin'].id}"
        tenant.user("admin", is_active=False)
        tenant.user("platform")
        problem(admin.patch(address, json=change), 409, "last_admin")
        tenant.user("admin")
        assert admin.patch(address, json=change).status_code == 200

    def test_the_last_admin_may_change_their_name(self, tenant, admin):
        body = {"name": "New", "role": "admin", "is_active": True}
        assert admin.patch(f"/users/{tenant.users['admin'].id}", json=body).json()["name"] == "New"

    def test_the_admin_of_another_tenant_does_not_count(self, tenant, admin, other):
        other.user("admin")
        problem(admin.patch(f"/users/{tenant.users['admin'].id}", json={"role": "user"}), 409, "last_admin")

    def test_an_operator_is_changed_with_the_command_line_only(self, tenant, admin):
        operator = tenant.user("platform")
        problem(admin.patch(f"/users/{operator.id}", json={"name": "N"}), 403, "forbidden")

    def test_nobody_is_made_an_operator(self, tenant, admin):
        user = tenant.user("user")
        problem(admin.patch(f"/users/{user.id}", json={"role": "platform"}), 400, "invalid_request", "/role")

    def test_an_address_that_is_taken_is_a_409(self, tenant, admin, other):
        user = tenant.user("user")
        response = admin.patch(f"/users/{user.id}", json={"email": other.user("user").email})
        problem(response, 409, "already_exists", "/email")

    def test_the_same_address_in_other_letter_case_changes_nothing(self, tenant, admin):
        user = tenant.user("user")
        assert admin.patch(f"/users/{user.id}", json={"email": user.email.upper()}).json()["version"] == 1

    def test_the_contact_tied_to_the_account_follows_its_address(self, tenant, admin, user):
        ticket = made(user.post("/tickets", json={"subject": "S", "description": ""}))
        new = f"moved-{tenant.number}@example.com"
        assert admin.patch(f"/users/{tenant.users['user'].id}", json={"email": new.upper()}).status_code == 200
        contact = admin.get(f"/contacts/{ticket['contact_id']}").json()
        assert (contact["email"], contact["version"]) == (new, 2)
        assert made(user.post("/tickets", json={"subject": "S", "description": ""}))["contact_id"] == contact["id"]

    def test_who_gives_another_address_vouches_for_it_but_not_for_who_signed_up(self, tenant, admin):
        for number, vouched in enumerate((True, False)):
            user = tenant.user("user", vouched=vouched)
            contact = tenant.contact(email=f"moved-{number}-{tenant.number}@example.com")
            moved = admin.patch(f"/users/{user.id}", json={"email": contact["email"]}).json()
            assert moved["email_verified_at"] == (moved["updated_at"] if vouched else None)
            tied = admin.get(f"/contacts/{contact['id']}").json()["user_id"]
            assert tied == (user.id if vouched else None)

    @pytest.mark.parametrize("vouched", [True, False])
    def test_what_was_sent_to_the_old_address_opens_nothing(self, tenant, admin, anonymous, mailbox, vouched):
        user = tenant.user("user", vouched=vouched)
        new = f"moved-{tenant.number}@example.com"
        anonymous.post("/auth/password-reset", json={"email": user.email})
        link = {"token": mailbox.token(user.email), "password": PASSWORD}
        if not vouched:
            anonymous.post("/auth/email-otp", json={"email": user.email})
            code = mailbox.code(user.email, 2)
        assert admin.patch(f"/users/{user.id}", json={"email": new}).status_code == 200
        problem(anonymous.post("/auth/password-reset/confirm", json=link), 401, "invalid_code")
        if not vouched:
            refused = anonymous.post("/auth/email-otp/verify", json={"email": new, "code": code})
            problem(refused, 401, "invalid_code")

    def test_a_link_stays_good_when_the_address_does_not_change(self, tenant, admin, anonymous, mailbox):
        user = tenant.user("user")
        anonymous.post("/auth/password-reset", json={"email": user.email})
        link = {"token": mailbox.token(user.email), "password": PASSWORD}
        admin.patch(f"/users/{user.id}", json={"email": user.email.upper(), "name": "Another"})
        assert anonymous.post("/auth/password-reset/confirm", json=link).status_code == 204

    def test_the_contact_keeps_an_address_of_its_own_and_one_that_is_taken(self, tenant, admin, user):
        ticket = made(user.post("/tickets", json={"subject": "S", "description": ""}))
        taken = tenant.contact()["email"]
        account = f"/users/{tenant.users['user'].id}"
        assert admin.patch(account, json={"email": taken}).status_code == 200
        assert admin.get(f"/contacts/{ticket['contact_id']}").json()["email"] == tenant.users["user"].email
        assert admin.patch(account, json={"email": f"later-{tenant.number}@example.com"}).status_code == 200
        assert admin.get(f"/contacts/{ticket['contact_id']}").json()["email"] == tenant.users["user"].email


class TestDeleteUser:
    def test_their_keys_stop_at_once(self, tenant, admin, agent):
        assert agent.get("/tickets").status_code == 200
        assert admin.delete(f"/users/{tenant.users['agent'].id}").status_code == 204
        problem(agent.get("/tickets"), 401, "unauthorized")

    def test_what_they_worked_on_stays_without_them(self, tenant, admin, agent):
        user_id = tenant.users["agent"].id
        ticket = made(agent.post("/tickets", json={"subject": "S", "description": "", "assignee_id": user_id}))
        elsewhere = tenant.ticket(assignee_id=user_id)
        comment = made(agent.post(f"/tickets/{elsewhere['id']}/comments", json={"body": "B"}))
        assert admin.delete(f"/users/{user_id}").status_code == 204
        left = admin.get(f"/tickets/{ticket['id']}").json()
        assert (left["assignee_id"], left["created_by_id"]) == (None, None)
        assert left["contact_id"] == ticket["contact_id"]
        assert admin.get(f"/contacts/{ticket['contact_id']}").json()["user_id"] is None
        left = admin.get(f"/comments/{comment['id']}").json()
        assert (left["author_type"], left["author_id"], left["body"]) == ("user", None, "B")
        assert elsewhere["id"] in ids(admin.get("/tickets", params={"assigned_to": "none"}))

    def test_who_has_the_old_etag_gets_the_ticket_as_it_is_now(self, tenant, admin):
        user = tenant.user("agent")
        ticket = tenant.ticket(assignee_id=user.id)
        assert admin.delete(f"/users/{user.id}").status_code == 204
        response = admin.get(f"/tickets/{ticket['id']}", headers={"if-none-match": f'"{ticket["version"]}"'})
        assert response.status_code == 200
        assert response.json()["assignee_id"] is None

    def test_they_leave_their_teams(self, tenant, admin):
        user, team = tenant.user("agent"), tenant.team()
        admin.put(f"/teams/{team['id']}/members/{user.id}")
        assert admin.delete(f"/users/{user.id}").status_code == 204
        assert ids(admin.get(f"/teams/{team['id']}/members")) == []

    def test_the_last_active_admin_stays(self, tenant, admin):
        address = f"/users/{tenant.users['admin'].id}"
        tenant.user("admin", is_active=False)
        problem(admin.delete(address), 409, "last_admin")
        tenant.user("admin")
        assert admin.delete(address).status_code == 204

    def test_an_inactive_admin_may_go(self, tenant, admin):
        assert admin.delete(f"/users/{tenant.user('admin', is_active=False).id}").status_code == 204

    def test_an_operator_is_deleted_with_the_command_line_only(self, tenant, admin):
        problem(admin.delete(f"/users/{tenant.user('platform').id}"), 403, "forbidden")

    def test_the_address_is_free_again(self, tenant, admin):
        user = tenant.user("user")
        admin.delete(f"/users/{user.id}")
        made(admin.post("/users", json={"email": user.email, "name": "Again", "role": "user"}))

    def test_who_returns_with_the_address_of_a_contact_gets_its_tickets_back(self, tenant, admin, service):
        user = tenant.user("user")
        with Client(service.origin, tenant.key(user)) as first:
            ticket = made(first.post("/tickets", json={"subject": "S", "description": ""}))
        admin.delete(f"/users/{user.id}")
        with Client(service.origin, tenant.key(tenant.user("user", email=user.email))) as again:
            assert ids(again.get("/tickets")) == [ticket["id"]]


class TestDeactivation:
    def test_it_ends_the_sessions_for_good(self, tenant, admin):
        client = tenant.signed_in("agent")
        address = f"/users/{client.get('/auth/me').json()['id']}"
        assert admin.patch(address, json={"is_active": False}).status_code == 200
        problem(client.get("/auth/me"), 401, "unauthorized")
        assert admin.patch(address, json={"is_active": True}).status_code == 200
        problem(client.get("/auth/me"), 401, "unauthorized")


class TestListUserTickets:
    def test_it_shows_what_the_user_raised(self, tenant, admin, agent, user):
        own = [made(user.post("/tickets", json={"subject": "S", "description": "D"}))["id"] for _ in range(2)]
        made(
            agent.post(
                "/tickets", json={"subject": "For somebody", "description": "", "contact_id": tenant.contact()["id"]}
            )
        )
        address = f"/users/{tenant.users['user'].id}/tickets"
        for client in (admin, agent, user):
            assert ids(client.get(address)) == own[::-1]
        assert ids(admin.get(f"/users/{tenant.users['agent'].id}/tickets")) == []
        assert ids(admin.get(address, params={"sort": "created_at", "limit": 1})) == own[:1]

    def test_a_user_may_ask_for_nobody_else(self, tenant, user):
        problem(user.get(f"/users/{tenant.user('user').id}/tickets"), 404, "not_found")
