// A browser for a person who is not there: keeps cookies, follows redirects, sends forms.
//
// A page with a form is answered by sending the form as it stands, which is what a click on its
// only button would do. The first page without one is the end.

const MOST_STEPS = 30;

/** Cookies by origin, name and path (RFC 6265 section 5.3). */
class CookieJar {
  #cookies = new Map();

  take(url, response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const equals = pair.indexOf('=');
      const [name, value] = [pair.slice(0, equals), pair.slice(equals + 1)];
      const of = (wanted) => attributes
        .find((attribute) => attribute.toLowerCase().startsWith(`${wanted}=`))
        ?.slice(wanted.length + 1);
      const path = of('path') ?? '/';
      const expires = of('expires');
      const key = `${url.origin} ${name} ${path}`;
      if (expires !== undefined && Date.parse(expires) <= Date.now()) {
        this.#cookies.delete(key);
      } else {
        this.#cookies.set(key, { origin: url.origin, name, value, path });
      }
    }
  }

  header(url) {
    return [...this.#cookies.values()]
      .filter((cookie) => cookie.origin === url.origin && within(url.pathname, cookie.path))
      .map((cookie) => `${cookie.name}=${cookie.value}`)
      .join('; ');
  }
}

function within(path, folder) {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

/**
 * Opens a URL and goes on until a page without a form.
 *
 * @param {string | URL} start
 * @param {{leaves?: boolean}} options whether it follows a redirect to another origin
 * @returns {Promise<{url: URL, status: number, text: string}>} the last page
 */
export async function browse(start, { leaves = true } = {}) {
  const jar = new CookieJar();
  let url = new URL(start);
  let form;
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const headers = { accept: 'text/html', connection: 'close' };
    const cookie = jar.header(url);
    if (cookie) headers.cookie = cookie;
    const response = await fetch(url, {
      method: form ? 'POST' : 'GET', body: form, headers, redirect: 'manual',
    });
    jar.take(url, response);
    const text = await response.text();
    const location = response.headers.get('location');
    if (response.status >= 300 && response.status < 400 && location) {
      url = new URL(location, url);
      form = undefined;
      if (!leaves && url.origin !== new URL(start).origin) {
        return { url, status: response.status, text };
      }
      continue;
    }
    const next = formOf(text, url);
    if (!next || response.status >= 400) return { url, status: response.status, text };
    ({ url, form } = next);
  }
  throw new Error('the pages do not end');
}

/** The first POST form of a page with its hidden fields, as a click would send it. */
function formOf(text, url) {
  const tag = text.match(/<form\b[^>]*\bmethod="post"[^>]*>/i)?.[0];
  const action = tag?.match(/\baction="([^"]*)"/i)?.[1];
  if (!action) return undefined;
  const form = new URLSearchParams();
  for (const [input] of text.matchAll(/<input\b[^>]*\btype="hidden"[^>]*>/gi)) {
    const name = input.match(/\bname="([^"]*)"/i)?.[1];
    if (name) form.append(name, unescaped(input.match(/\bvalue="([^"]*)"/i)?.[1] ?? ''));
  }
  return { url: new URL(unescaped(action), url), form };
}

function unescaped(html) {
  const characters = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#x27': "'" };
  return html.replace(/&(amp|lt|gt|quot|#39|#x27);/gi, (_, name) => characters[name.toLowerCase()]);
}
