// What a person sees.

import { Refused } from "./hand_over.js";

const { ErrorResponse } = globalThis.oidc;
const main = document.querySelector("main");

// What a provider answers instead of a code (RFC 6749, OpenID Connect Core).
const WORDS = {
  access_denied: "The sign-in was broken off or refused.",
  account_selection_required: "The sign-in service wants you to choose an account.",
  consent_required: "The sign-in service wants you to consent.",
  interaction_required: "The sign-in service wants to see you.",
  invalid_grant: "The sign-in service does not know this sign-in any more.",
  invalid_request: "The sign-in service does not understand this page. It may not know its address.",
  invalid_scope: "The sign-in service does not grant what this page asks for.",
  login_required: "Your session at the sign-in service is over.",
  server_error: "The sign-in service has a problem. Try again in a minute.",
  temporarily_unavailable: "The sign-in service is busy. Try again in a minute.",
  unauthorized_client: "The sign-in service does not let this page sign people in.",
};

/** Shows a page, or, above an application, a bar. `actions` are `[words, function or address]`. */
export function show(title, message, { detail = "", actions = [] } = {}) {
  main.hidden = false;
  const [heading, text, more, row] = ["title", "message", "detail", "actions"].map((id) =>
    document.getElementById(id),
  );
  heading.textContent = title;
  text.textContent = message;
  more.textContent = detail;
  row.replaceChildren(
    ...actions.map(([words, to]) => (typeof to === "string" ? link(words, to) : button(words, to))),
  );
  // Not while somebody writes in the application.
  if (!document.querySelector("body > iframe")) {
    document.title = title;
    heading.focus();
  }
}

/** Shows nothing of this page: the application has the window. */
export function hide() {
  main.hidden = true;
}

/** What an error means, in words, and what the machine said. */
export function wordsOf(error) {
  if (error instanceof ErrorResponse) {
    const message = WORDS[error.error] ?? "The sign-in service answered with an error.";
    return { message, detail: [error.error, error.error_description].filter(Boolean).join(": ") };
  }
  if (error instanceof Refused) return { message: error.message, detail: error.reason };
  if (/No matching state/.test(error.message)) {
    return { message: "This sign-in was begun in another window, or too long ago.", detail: "" };
  }
  if (error instanceof TypeError) {
    return { message: "A server cannot be reached. Is this machine online?", detail: error.message };
  }
  return { message: error.message, detail: "" };
}

function link(words, address) {
  const element = document.createElement("a");
  Object.assign(element, { href: address, textContent: words });
  return element;
}

function button(words, action) {
  const element = document.createElement("button");
  Object.assign(element, { type: "button", textContent: words });
  element.addEventListener("click", action);
  return element;
}
