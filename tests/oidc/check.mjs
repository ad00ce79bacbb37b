// Proves the lane's own server: each flow by hand, with Node's HTTP and nothing of the vault.
//
//   node check.mjs      exit status 0 and one line per fact, or 1 at the first that does not hold

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { browse } from './browser.mjs';

const CLIENT = 'vault-cli';
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

const server = spawn(process.execPath, [fileURLToPath(new URL('server.mjs', import.meta.url))], {
  stdio: ['ignore', 'pipe', 'ignore'],
  env: { ...process.env, OIDC_ACCESS_TOKEN_TTL: '3' },
});
try {
  const [line] = await once(createInterface({ input: server.stdout }), 'line');
  const { issuer } = JSON.parse(line);
  const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
  assert.equal(metadata.issuer, issuer);

  const post = async (endpoint, form) => {
    const body = new URLSearchParams({ client_id: CLIENT, ...form });
    const response = await fetch(metadata[endpoint], { method: 'POST', body });
    const text = await response.text();
    return { status: response.status, ...(text ? JSON.parse(text) : {}) };
  };
  const refresh = (refresh_token) => post('token_endpoint', {
    grant_type: 'refresh_token', refresh_token,
  });
  const user = (access_token) => fetch(metadata.userinfo_endpoint, {
    headers: { authorization: `Bearer ${access_token}` },
  });
  const counted = async () => (await fetch(`${issuer}/__counts`)).json();

  /** Authorization code with PKCE on a loopback redirect. */
  const logIn = async () => {
    const application = createServer((_request, response) => response.end('done'));
    application.listen(0, '127.0.0.1');
    await once(application, 'listening');
    const redirect_uri = `http://127.0.0.1:${application.address().port}/callback`;
    const verifier = randomBytes(32).toString('base64url');
    const url = new URL(metadata.authorization_endpoint);
    url.search = new URLSearchParams({
      response_type: 'code', client_id: CLIENT, redirect_uri, scope: 'openid', state: 'state',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    });
    const page = await browse(url);
    application.close();
    assert.equal(page.text, 'done');
    const answer = page.url.searchParams;
    assert.equal(answer.get('state'), 'state');
    assert.equal(answer.get('iss'), issuer);
    return post('token_endpoint', {
      grant_type: 'authorization_code', code: answer.get('code'), redirect_uri,
      code_verifier: verifier,
    });
  };

  const first = await logIn();
  assert.equal(first.status, 200);
  assert.equal(first.expires_in, 3);
  assert.equal((await user(first.access_token)).status, 200);
  console.log('the code flow gives tokens that work');

  const second = await refresh(first.refresh_token);
  assert.equal(second.status, 200);
  assert.notEqual(second.refresh_token, first.refresh_token);
  console.log('a refresh rotates the refresh token');

  const reuse = await refresh(first.refresh_token);
  assert.deepEqual([reuse.status, reuse.error], [400, 'invalid_grant']);
  assert.equal((await refresh(second.refresh_token)).error, 'invalid_grant');
  assert.equal((await user(second.access_token)).status, 401);
  console.log('a used refresh token revokes the whole grant');

  const third = await logIn();
  const revoked = await post('revocation_endpoint', { token: third.refresh_token });
  assert.equal(revoked.status, 200);
  assert.equal((await refresh(third.refresh_token)).error, 'invalid_grant');
  console.log('a revoked refresh token is refused');

  const device = await post('device_authorization_endpoint', { scope: 'openid' });
  const poll = () => post('token_endpoint', {
    grant_type: DEVICE_GRANT, device_code: device.device_code,
  });
  assert.equal((await poll()).error, 'authorization_pending');
  const approve = (code) => fetch(`${issuer}/__device/approve?user_code=${code}`, { method: 'POST' });
  assert.equal((await approve('AAAA-AAAA')).status, 404);
  assert.equal((await approve(device.user_code)).status, 200);
  const fourth = await poll();
  assert.equal(fourth.status, 200);
  assert.equal((await refresh(fourth.refresh_token)).status, 200);
  console.log('a device code is pending until it is approved');

  const counts = await counted();
  assert.equal(counts.logins, 3);
  assert.equal(counts.refreshes_ok, 2);
  assert.equal(counts.refreshes_refused, 3);
  assert.equal(counts.reuse_detected, 1);
  assert.equal(counts.revocations, 1);
  assert.equal(counts.server_errors, 0);
  console.log(`the server counted ${JSON.stringify(counts)}`);
} finally {
  server.kill();
}
