// Shows /openapi.json with Swagger UI. Nothing is loaded from, or sent to, another site.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  filter: true,
  defaultModelExpandDepth: 3,
  defaultModelRendering: "model",
  validatorUrl: null,
});
