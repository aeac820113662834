// A login page on a site of its own. What it answers is a test's to choose, and to change on the way.

import { escapeHtml, page, redirect, startSite } from "./site.mjs";
import { mint } from "./tokens.mjs";

/** Starts one. `login.answer` is one of the functions below. */
export async function startLogin({ tls }) {
  const login = await startSite(
    (request, response) => {
      if (request.path !== "/start") return page(response, "");
      return login.answer(request.query.get("redirectUrl"), response, request);
    },
    { tls },
  );
  login.answer = asks();
  return login;
}

/** The link that signs in: to `auth_path`, and from there back to where the person wanted to go. */
export function signInLink(back, token, base = "") {
  return `${new URL(back).origin}${base}/jwt/auth?token=${token}&redirectUrl=${encodeURIComponent(back)}`;
}

/** A page that a person clicks on. Its script hands on the fragment, which no server ever sees. */
export const asks =
  (token = () => mint(), base) =>
  (back, response) =>
    page(
      response,
      `<!doctype html><title>Login</title><h1>Login</h1>
       <p><a id="sign-in" href="${escapeHtml(signInLink(back, token(), base))}">Sign in as alice</a>
       <script>document.getElementById("sign-in").href += encodeURIComponent(location.hash);</script>`,
    );

/** Nobody sees this one: it knows who the person is. */
export const knows =
  (token = () => mint(), base) =>
  (back, response) =>
    redirect(response, signInLink(back, token(), base));

/** Knows who the person is, and hands the token on in a form, so that it stands in no address. */
export const posts =
  (token = () => mint()) =>
  (back, response) =>
    page(
      response,
      `<!doctype html><title>Login</title>
       <form method="post" action="${new URL(back).origin}/jwt/auth">
       <input type="hidden" name="token" value="${token()}">
       <input type="hidden" name="redirectUrl" value="${escapeHtml(back)}"></form>
       <script>document.forms[0].redirectUrl.value += location.hash; document.forms[0].submit();</script>`,
    );

/** Leads straight to the page that was asked for, with the token in its address. */
export const linksToPage = (token) => (back, response) => {
  const url = new URL(back);
  url.searchParams.append("token", token());
  redirect(response, url.href);
};

/** Leads back and brings no token. */
export const bringsNothing = () => (back, response) => redirect(response, back);
