// The token stands behind the # of the address: browsers send that part nowhere, so no log and no referrer has it.
const form = document.getElementById("reset");
const outcome = document.getElementById("outcome");
const token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
history.replaceState(null, "", location.pathname);
if (!token) {
  form.hidden = true;
  outcome.textContent = "Open the link in the mail once more: this page has lost what was in it.";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  outcome.textContent = "One moment …";
  const answer = await fetch(form.dataset.address, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token, password: form.elements.password.value }),
  }).catch(() => null);
  if (answer && answer.status === 204) {
    form.hidden = true;
    outcome.textContent = "Your password is set. You can sign in with it now.";
    return;
  }
  const problem = answer ? await answer.json().catch(() => ({})) : {};
  outcome.textContent = problem.detail || "The service cannot be reached. Try again in a moment.";
});
