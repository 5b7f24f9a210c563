// Sign in by a one-time link or a token, and sign out. The session is a cookie that scripts cannot read.

import { call } from "./api.js";

// `#login=…`, or `#login=…&search=…` for one search, as the CLI prints it; it leaves the address before it is used
export function takeCodeFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const code = given.get("login");
  if (!code) return null;
  const search = given.get("search");
  history.replaceState(null, "", location.pathname + (search ? `#${encodeURIComponent(search)}` : ""));
  return code;
}

export const signIn = (secret) => call("/session", "POST", secret);

export const signOut = () => call("/session", "DELETE");
