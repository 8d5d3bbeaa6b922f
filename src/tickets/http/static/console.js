// The Swagger console over the contract as it is served here; it asks nothing of other hosts.
// A key stays in the browser's storage only when its owner wants it there: the browser may be shared.
const CHOICE = "remember-key";
const KEYS = "authorized"; // where Swagger UI itself keeps and finds them
const remember = document.getElementById("remember");
remember.checked = localStorage.getItem(CHOICE) === "yes";
if (!remember.checked) {
  localStorage.removeItem(KEYS);
}

const keep = (system) => {
  if (remember.checked) {
    localStorage.setItem(KEYS, JSON.stringify(system.authSelectors.authorized()));
  }
};

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#console",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [
    () => ({
      statePlugins: { auth: { wrapActions: { persistAuthorizationIfNeeded: (_, system) => () => keep(system) } } },
    }),
  ],
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: remember.checked,
  tryItOutEnabled: true,
  validatorUrl: null,
});

remember.addEventListener("change", () => {
  if (remember.checked) {
    localStorage.setItem(CHOICE, "yes");
    keep(ui.getSystem());
  } else {
    localStorage.removeItem(CHOICE);
    localStorage.removeItem(KEYS);
  }
});
