// The documentation of the API: Swagger UI, from this master's own files.

window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
});
