// A real oidc-provider on loopback, with rotation and all that a native client may meet.
//
//   node server.mjs      runs until SIGTERM; the first line of standard output is {"issuer":…}
//
// Environment:
//   OIDC_PORT               port on 127.0.0.1; any free one if left out
//   OIDC_ACCESS_TOKEN_TTL   seconds an access token is good for; 60
//   OIDC_CLIENTS            a JSON file with the clients' metadata, beside what all of them have;
//                           without it one public client, vault-cli
//   OIDC_PAR                pushed authorization requests: off, required or, left out, as one likes
//   OIDC_TLS_CERTIFICATE    PEM file; with it and the next one https is spoken, and nothing else
//   OIDC_TLS_KEY            PEM file
//   OIDC_REDIRECT_PATHS     paths of the loopback redirect, with commas; /callback,/
//   OIDC_ACCOUNT            the account that everyone logs in as; alice
//
// Beside the provider's own routes:
//   GET  /__counts                            what the provider counted, as JSON
//   GET  /__counts?client=ID                  the same of one client
//   POST /__browse?url=URL                    opens an authorization URL as a browser would; with
//                                             &until=redirect it does not go to the application,
//                                             and the answer has its `location`
//   POST /__id_token?client=ID&as=HOW         the client's next ID token is a wrong one: `replayed`
//                                             is that of its login before, `changed` names another
//                                             person under the same signature
//   POST /__device/approve?user_code=CODE     approves a device code as a person would
//   POST /__access_token_ttl?seconds=N        changes the lifetime of tokens made from now on
//
// Nobody looks at a page: the interaction logs the account in and consents at once. Every https
// resource is an API (RFC 8707) whose tokens are JWTs of more than 4 KB. Everything else is the
// provider's, its in-memory adapter included: PKCE, rotation, and reuse detection that revokes
// the grant, DPoP with nonces.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

import { browse } from './browser.mjs';

// Node 20 lacks what oidc-provider 9 calls (https://url.spec.whatwg.org/#dom-url-parse).
URL.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null);

// The provider writes its notices to standard output, where the issuer's line stands alone.
console.info = console.error;
console.warn = console.error;
const { default: Provider } = await import('oidc-provider');

/** What every API's tokens may have, and what makes them longer than 4 KB. */
const API_SCOPE = 'read';
const PADDING = 4096;

const environment = process.env;
const account = environment.OIDC_ACCOUNT ?? 'alice';
const clients = environment.OIDC_CLIENTS
  ? JSON.parse(readFileSync(environment.OIDC_CLIENTS, 'utf8'))
  : [{ client_id: 'vault-cli', token_endpoint_auth_method: 'none' }];
const paths = (environment.OIDC_REDIRECT_PATHS ?? '/callback,/').split(',');
let accessTokenTtl = seconds(environment.OIDC_ACCESS_TOKEN_TTL ?? '60');

const tls = environment.OIDC_TLS_CERTIFICATE && {
  cert: readFileSync(environment.OIDC_TLS_CERTIFICATE),
  key: readFileSync(environment.OIDC_TLS_KEY),
};
const http = tls ? createTlsServer(tls) : createServer();
http.listen(Number(environment.OIDC_PORT ?? 0), '127.0.0.1');
await once(http, 'listening');
const issuer = `${tls ? 'https' : 'http'}://127.0.0.1:${http.address().port}`;

const provider = new Provider(issuer, {
  clients: clients.map((client) => ({
    application_type: 'native',
    grant_types: [
      'authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code',
    ],
    response_types: ['code'],
    redirect_uris: paths.flatMap((path) => [`http://127.0.0.1${path}`, `http://[::1]${path}`]),
    id_token_signed_response_alg: 'ES256',
    ...client,
  })),
  jwks: { keys: [signingKey()] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  scopes: ['openid', 'offline_access', 'profile'],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (_context, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: () => false,
  findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  extraTokenClaims: (_context, token) => (
    token.resourceServer ? { padding: 'x'.repeat(PADDING) } : undefined
  ),
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  features: {
    deviceFlow: { enabled: true },
    // Whoever sends a proof is asked for a nonce in it; the others get bearer tokens.
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    pushedAuthorizationRequests: {
      enabled: environment.OIDC_PAR !== 'off',
      requirePushedAuthorizationRequests: environment.OIDC_PAR === 'required',
    },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, resource) => ({
        scope: API_SCOPE,
        audience: resource,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
      useGrantedResource: () => false,
    },
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

const NOTHING = {
  token_requests: 0,
  pushed_requests: 0,
  proofs: 0,
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
const counts = { ...NOTHING };
const countsOf = new Map(clients.map((client) => [client.client_id, { ...NOTHING }]));

/** Counts for the whole and, where one is known, for a client. */
function countOf(client, name) {
  counts[name] += 1;
  const ofClient = countsOf.get(client);
  if (ofClient) ofClient[name] += 1;
}

/** The same for the client of a request. */
function count(context, name) {
  countOf(context.oidc?.client?.clientId, name);
}

/** What becomes of a client's next ID token, and the last one it got. */
const wrongIdTokens = new Map();
const idTokens = new Map();

function disturbIdToken(context) {
  const client = context.oidc?.client?.clientId;
  const token = context.body?.id_token;
  if (!client || !token) return;
  const how = wrongIdTokens.get(client);
  wrongIdTokens.delete(client);
  if (how === 'replayed') context.body.id_token = idTokens.get(client);
  if (how === 'changed') {
    const [header, payload, signature] = token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url'));
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'mallory' })).toString('base64url');
    context.body.id_token = `${header}.${forged}.${signature}`;
  }
  idTokens.set(client, token);
}

let tokenRequestsInFlight = 0;
provider.use(async (context, next) => {
  if (context.method !== 'POST' || context.path !== '/token') {
    await next();
    if (context.path === '/token/revocation' && context.status === 200) count(context, 'revocations');
    if (context.path === '/request' && context.status === 201) count(context, 'pushed_requests');
    return;
  }
  tokenRequestsInFlight += 1;
  counts.peak_concurrent_token_requests = Math.max(
    counts.peak_concurrent_token_requests,
    tokenRequestsInFlight,
  );
  try {
    await next();
    disturbIdToken(context);
  } finally {
    tokenRequestsInFlight -= 1;
    count(context, 'token_requests');
    if (context.get('DPoP')) count(context, 'proofs');
  }
});

provider.on('grant.success', (context) => {
  count(context, context.oidc.params.grant_type === 'refresh_token' ? 'refreshes_ok' : 'logins');
});
provider.on('grant.error', (context, error) => {
  count(context, 'grants_refused');
  const grant = context.oidc?.params?.grant_type;
  if (grant === 'refresh_token') count(context, 'refreshes_refused');
  if (grant?.endsWith(':device_code')) count(context, 'device_polls_refused');
  // Only the provider itself is told why; the client sees a bare invalid_grant.
  if (error.error_detail === 'refresh token already used') count(context, 'reuse_detected');
});
provider.on('refresh_token.consumed', (token) => countOf(token.clientId, 'refresh_tokens_consumed'));
provider.on('refresh_token.saved', (token) => countOf(token.clientId, 'refresh_tokens_saved'));
provider.on('grant.revoked', (context) => count(context, 'grants_revoked'));
provider.on('server_error', (context, error) => {
  count(context, 'server_errors');
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
    'GET /__counts': async (_request, response, { searchParams }) => {
      const client = searchParams.get('client');
      const found = client === null ? counts : countsOf.get(client);
      json(response, found ? 200 : 404, found ?? { error: 'no such client' });
    },
    'POST /__browse': openPage,
    'POST /__id_token': async (_request, response, { searchParams }) => {
      wrongIdTokens.set(searchParams.get('client'), searchParams.get('as'));
      json(response, 200, {});
    },
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
  for (const resource of [params.resource ?? []].flat()) grant.addResourceScope(resource, API_SCOPE);
  const result = { login: { accountId: account }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result);
}

/** Opens a page, and tells how that ended; without where, because that holds the code. */
async function openPage(_request, response, { searchParams }) {
  const leaves = searchParams.get('until') !== 'redirect';
  const page = await browse(searchParams.get('url'), { leaves });
  json(response, 200, { status: page.status, location: leaves ? undefined : page.url.href });
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
