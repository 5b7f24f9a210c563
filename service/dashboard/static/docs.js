// The documentation of the API: Swagger UI, from this master's own files; without a session the page asks for one.

const answer = await fetch("api/v1/session", { cache: "no-store" });
if (answer.status === 401) location.replace("./");
else window.SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true });
