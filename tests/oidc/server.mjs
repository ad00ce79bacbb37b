// A real oidc-provider on loopback, with rotation, for one public native client.
//
//   node server.mjs      runs until SIGTERM; the first line of standard output is {"issuer":…}
//
// Environment:
//   OIDC_PORT               port on 127.0.0.1; any free one if left out
//   OIDC_ACCESS_TOKEN_TTL   seconds an access token is good for; 60
//   OIDC_CLIENT_ID          vault-cli
//   OIDC_REDIRECT_PATHS     paths of the loopback redirect, with commas; /callback,/
//   OIDC_ACCOUNT            the account that everyone logs in as; alice
//
// Beside the provider's own routes:
//   GET  /__counts                            what the provider counted, as JSON
//   POST /__device/approve?user_code=CODE     approves a device code as a person would
//   POST /__access_token_ttl?seconds=N        changes the lifetime of tokens made from now on
//
// Nobody looks at a page: the interaction logs the account in and consents at once. Everything
// else is the provider's, its in-memory adapter included: PKCE, rotation, and reuse detection
// that revokes the grant, DPoP with nonces.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { browse } from './browser.mjs';

// Node 20 lacks what oidc-provider 9 calls (https://url.spec.whatwg.org/#dom-url-parse).
URL.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null);

// The provider writes its notices to standard output, where the issuer's line stands alone.
console.info = console.error;
console.warn = console.error;
const { default: Provider } = await import('oidc-provider');

const environment = process.env;
const account = environment.OIDC_ACCOUNT ?? 'alice';
const clientId = environment.OIDC_CLIENT_ID ?? 'vault-cli';
const paths = (environment.OIDC_REDIRECT_PATHS ?? '/callback,/').split(',');
let accessTokenTtl = seconds(environment.OIDC_ACCESS_TOKEN_TTL ?? '60');

const http = createServer();
http.listen(Number(environment.OIDC_PORT ?? 0), '127.0.0.1');
await once(http, 'listening');
const issuer = `http://127.0.0.1:${http.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: clientId,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: [
      'authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code',
    ],
    response_types: ['code'],
    redirect_uris: paths.flatMap((path) => [`http://127.0.0.1${path}`, `http://[::1]${path}`]),
    id_token_signed_response_alg: 'ES256',
  }],
  jwks: { keys: [signingKey()] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  scopes: ['openid', 'offline_access', 'profile'],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (_context, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: () => false,
  findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  features: {
    deviceFlow: { enabled: true },
    // Whoever sends a proof is asked for a nonce in it; the others get bearer tokens.
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    devInteractions: { enabled: false },
    revocation: { enabled: true },
  },
  ttl: {
    AccessToken: () => accessTokenTtl,
    AuthorizationCode: 60,
    DeviceCode: 300,
    Grant: 86400,
    IdToken: 300,
    Interaction: 300,
    RefreshToken: 86400,
    Session: 86400,
  },
});

const counts = {
  token_requests: 0,
  peak_concurrent_token_requests: 0,
  logins: 0,
  refreshes_ok: 0,
  refreshes_refused: 0,
  reuse_detected: 0,
  device_polls_refused: 0,
  grants_refused: 0,
  refresh_tokens_consumed: 0,
  refresh_tokens_saved: 0,
  grants_revoked: 0,
  revocations: 0,
  server_errors: 0,
};

let tokenRequestsInFlight = 0;
provider.use(async (context, next) => {
  if (context.method !== 'POST' || context.path !== '/token') {
    await next();
    if (context.path === '/token/revocation' && context.status === 200) counts.revocations += 1;
    return;
  }
  counts.token_requests += 1;
  tokenRequestsInFlight += 1;
  counts.peak_concurrent_token_requests = Math.max(
    counts.peak_concurrent_token_requests,
    tokenRequestsInFlight,
  );
  try {
    await next();
  } finally {
    tokenRequestsInFlight -= 1;
  }
});

provider.on('grant.success', (context) => {
  counts[context.oidc.params.grant_type === 'refresh_token' ? 'refreshes_ok' : 'logins'] += 1;
});
provider.on('grant.error', (context, error) => {
  counts.grants_refused += 1;
  const grant = context.oidc?.params?.grant_type;
  if (grant === 'refresh_token') counts.refreshes_refused += 1;
  if (grant?.endsWith(':device_code')) counts.device_polls_refused += 1;
  // Only the provider itself is told why; the client sees a bare invalid_grant.
  if (error.error_detail === 'refresh token already used') counts.reuse_detected += 1;
});
provider.on('refresh_token.consumed', () => { counts.refresh_tokens_consumed += 1; });
provider.on('refresh_token.saved', () => { counts.refresh_tokens_saved += 1; });
provider.on('grant.revoked', () => { counts.grants_revoked += 1; });
provider.on('server_error', (_context, error) => {
  counts.server_errors += 1;
  console.error(error);
});

const serve = provider.callback();
http.on('request', (request, response) => {
  const url = new URL(request.url, issuer);
  const own = route(request.method, url);
  if (!own) {
    serve(request, response);
    return;
  }
  own(request, response, url).catch((error) => {
    console.error(error);
    json(response, 500, { error: error.message });
  });
});

console.log(JSON.stringify({ issuer }));
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    http.close();
    http.closeAllConnections();
  });
}

function route(method, url) {
  if (url.pathname.startsWith('/interaction/')) return interact;
  return {
    'GET /__counts': async (_request, response) => json(response, 200, counts),
    'POST /__device/approve': approveDevice,
    'POST /__access_token_ttl': async (_request, response, { searchParams }) => {
      accessTokenTtl = seconds(searchParams.get('seconds'));
      json(response, 200, { seconds: accessTokenTtl });
    },
  }[`${method} ${url.pathname}`];
}

/** Logs the account in and grants what was asked for, in one step. */
async function interact(request, response) {
  const { params, grantId } = await provider.interactionDetails(request, response);
  const grant = (grantId && await provider.Grant.find(grantId))
    || new provider.Grant({ accountId: account, clientId: params.client_id });
  if (params.scope) grant.addOIDCScope(params.scope);
  const result = { login: { accountId: account }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result);
}

/** Opens the device page with the code and confirms it. */
async function approveDevice(_request, response, url) {
  const userCode = url.searchParams.get('user_code') ?? '';
  const code = await provider.DeviceCode.findByUserCode(userCode.replace(/\W/g, '').toUpperCase());
  if (!code) {
    json(response, 404, { error: 'no such code' });
    return;
  }
  const page = await browse(`${issuer}/device?user_code=${encodeURIComponent(userCode)}`);
  json(response, page.status < 400 ? 200 : 502, { status: page.status });
}

function json(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(`${JSON.stringify(value)}\n`);
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'lane' };
}

function seconds(text) {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new Error('a lifetime is whole seconds, 1 or more');
  return number;
}
