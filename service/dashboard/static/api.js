// One call of the master's API. The browser sends the cookie of the session; no script sees it.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function call(path, method = "GET", content = undefined) {
  let answer;
  try {
    const headers = content === undefined ? {} : { "Content-Type": "application/json" };
    answer = await fetch(`api/v1${path}`, { method, headers, cache: "no-store", body: JSON.stringify(content) });
  } catch {
    throw new Refused(0, "The master does not answer.");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, body.detail || `The master answered ${answer.status}.`);
  return body;
}
