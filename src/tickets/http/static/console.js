// The Swagger console over the contract as it is served here; it asks nothing of other hosts.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#console",
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
