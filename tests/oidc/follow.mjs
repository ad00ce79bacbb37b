// Opens an authorization URL as a browser would, until the application's own page.
//
//   node follow.mjs URL
//
// Exit status 0 once the redirect to another origin was followed and answered; 1 otherwise.
// Prints where it ended, without the query, because that holds the authorization code.

import { browse } from './browser.mjs';

const [start] = process.argv.slice(2);
if (!start) {
  console.error('usage: node follow.mjs URL');
  process.exitCode = 2;
} else {
  const page = await browse(start);
  console.log(`${page.status} ${page.url.origin}${page.url.pathname}`);
  const arrived = page.url.origin !== new URL(start).origin && page.status < 400;
  process.exitCode = arrived ? 0 : 1;
}
