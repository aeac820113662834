// The OpenID provider, by authorization code with PKCE.

const { ErrorResponse, InMemoryWebStorage, UserManager, WebStorageStateStore } = globalThis.oidc;

/** The address of this page, to which the provider leads back. */
export const here = location.origin + location.pathname;

/** What asks the provider. */
export function newManager({
  authority = "",
  client_id = "",
  scope,
  resource,
  parameters,
  applications = [],
} = {}) {
  // A frame in each page of an application starts anew with each page, and needs what the last one had.
  const keep = applications.some(({ renewal }) => renewal === "frame");
  return new UserManager({
    authority,
    client_id,
    scope,
    resource,
    extraQueryParams: parameters,
    redirect_uri: here,
    post_logout_redirect_uri: here,
    redirectMethod: "replace",
    automaticSilentRenew: false,
    userStore: new WebStorageStateStore({ store: keep ? sessionStorage : new InMemoryWebStorage() }),
  });
}

/** New tokens without a person: by refresh token, else by the provider's own session in a hidden frame. */
export async function freshUser(manager, { resource, token }) {
  const before = await manager.getUser();
  if (before?.refresh_token) {
    try {
      const user = await manager.signinSilent({ resource });
      // Not every provider renews ID tokens this way.
      if (user[token] !== before[token]) return user;
    } catch (error) {
      if (!(error instanceof ErrorResponse)) throw error;
    }
  }
  return manager.signinSilent({ forceIframeAuth: true });
}
