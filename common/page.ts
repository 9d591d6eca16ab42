import { createHash } from 'node:crypto';
import { Markup, html } from './html.ts';
import type { HttpReply } from './http-server.ts';

/** What stands on a page of either binary. */
export interface Page {
  readonly title: string;
  /** Right of the title: the state in one word, a few figures. */
  readonly header: Markup;
  /** Between header and content, kept when the content is refreshed: a filter box. */
  readonly tools: Markup;
  readonly content: Markup;
}

/**
 * A self-contained page: no other file is loaded. It fetches itself every two seconds while
 * somebody looks at it and replaces header and content, so that there is only one renderer.
 */
export function renderPage(page: Page): HttpReply {
  const markup = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${page.title}</title>
        <link rel="icon" href="data:," />
        ${styleElement}
      </head>
      <body>
        <header>
          <h1>${page.title}</h1>
          <div id="facts">${page.header}</div>
        </header>
        <p id="unreachable" hidden>
          Not reachable since <span></span>: what follows is the last answer.
        </p>
        <div id="tools">${page.tools}</div>
        <main id="content">${page.content}</main>
        ${scriptElement}
      </body>
    </html> `;
  return {
    status: 200,
    contentType: 'text/html; charset=utf-8',
    body: markup.text,
    headers: { 'content-security-policy': policy },
  };
}

/** How many lines of a kind (conflicts, held parts) a page shows at most. */
export const linesShownMax = 20;

/** How something fares. */
export type Tone = 'good' | 'warn' | 'bad' | 'plain';

/** How a person reads the status of an instance, or why it takes no traffic. */
export function describeStatus(status: string): string {
  return status === 'GONE' ? 'remembered' : status.toLowerCase().replaceAll('_', ' ');
}

/** A coloured word: the state of something. */
export function pill(tone: Tone, text: string): Markup {
  return html`<span class="pill ${tone}">${text}</span>`;
}

/** A figure with its name, for the header. */
export function fact(name: string, value: string | number): Markup {
  return html`<span class="fact"><b>${value}</b> ${name}</span>`;
}

/** `1 subscriber`, `2 subscribers`: the word that fits the number, for words that take an s. */
export function plural(n: number, word: string): string {
  return n === 1 ? word : `${word}s`;
}

/** A button that posts to a path of the admin API after asking. */
export function actionButton(label: string, path: string, question: string): Markup {
  return html`<button type="button" data-post="${path}" data-question="${question}">
    ${label}
  </button>`;
}

const style = `
:root{color-scheme:light dark;--bg:#f5f6f8;--card:#fff;--ink:#1b2330;--soft:#5d6878;--line:#e1e5ea;
--good:#137a43;--good-bg:#dcf3e5;--warn:#8a5a00;--warn-bg:#fdeecb;--bad:#b3261e;--bad-bg:#fbdedb;--accent:#2457c5}
@media (prefers-color-scheme:dark){:root{--bg:#10141a;--card:#181e27;--ink:#e6eaf0;--soft:#98a4b5;--line:#2a323e;
--good:#6fdc9d;--good-bg:#123524;--warn:#f2c35c;--warn-bg:#3a2c0c;--bad:#ff9a92;--bad-bg:#45191a;--accent:#8ab0ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
header{display:flex;flex-wrap:wrap;gap:8px 24px;align-items:center;padding:14px 24px;background:var(--card);border-bottom:1px solid var(--line);position:sticky;top:0;z-index:1}
h1{font-size:20px;margin:0;letter-spacing:-.01em}
h2{font-size:13px;margin:0;padding:12px 16px 8px;text-transform:uppercase;letter-spacing:.07em;color:var(--soft);font-weight:600}
h2 small{text-transform:none;letter-spacing:0;font-weight:400;font-size:13px}
#facts{display:flex;flex-wrap:wrap;gap:6px 22px;align-items:center;flex:1}
.fact{color:var(--soft);white-space:nowrap}.fact b{color:var(--ink);font-size:18px;font-weight:600;font-variant-numeric:tabular-nums}
#unreachable{margin:0;padding:10px 24px;background:var(--bad-bg);color:var(--bad);font-weight:600}
#tools:not(:empty){padding:16px 24px 0}
#content{padding:16px 24px 40px;display:grid;gap:16px;grid-template-columns:repeat(12,minmax(0,1fr))}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden;grid-column:span 12}
.scroll{overflow-x:auto}
@media (min-width:1200px){section.half{grid-column:span 6}section.wide{grid-column:span 8}section.narrow{grid-column:span 4}section.wide:not(:has(+.narrow)){grid-column:span 12}}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-size:12px;font-weight:600;color:var(--soft);text-align:left;padding:4px 16px 6px;white-space:nowrap}
td{padding:7px 16px;border-top:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;white-space:nowrap}td.k{white-space:nowrap}
td.host{overflow-wrap:anywhere;min-width:220px;width:32%}
code,.mono{font:13px/1.45 ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace}
small,.soft{color:var(--soft);font-size:13px}
.pill{display:inline-block;padding:1px 9px;border-radius:99px;font-size:13px;font-weight:600;white-space:nowrap;background:var(--line)}
.good{color:var(--good);background:var(--good-bg)}.warn{color:var(--warn);background:var(--warn-bg)}.bad{color:var(--bad);background:var(--bad-bg)}
header .pill{font-size:16px;padding:3px 14px}
.alarm{flex-basis:100%;margin:0;padding:8px 14px;border-radius:8px;background:var(--bad-bg);color:var(--bad);font-size:20px;font-weight:600;overflow-wrap:anywhere}
ul{margin:0;padding:0;list-style:none}.attention li{padding:8px 16px;border-top:1px solid var(--line)}
.attention li .pill{margin-right:8px}
.empty{padding:4px 16px 14px;color:var(--soft);margin:0}
details>summary{cursor:pointer}details ul{padding:4px 0 4px 14px}
.from{color:var(--soft)}
.actions{margin:0;padding:4px 16px 14px}
a{color:var(--accent)}
button{font:inherit;font-size:13px;padding:2px 10px;border:1px solid var(--line);border-radius:6px;background:transparent;color:var(--accent);cursor:pointer}
button:hover{border-color:var(--accent)}
input{font:inherit;padding:7px 12px;border:1px solid var(--line);border-radius:8px;background:var(--card);color:var(--ink);width:min(420px,100%)}
`;

const script = `
const every = 2000;
const heldForReaderMax = 30000;
let failedAt;
let refreshedAt = performance.now();
let typing;
const focusable = (root) => [...root.querySelectorAll('summary, button, a')];
async function refresh() {
  const banner = document.getElementById('unreachable');
  const { href } = location;
  try {
    const response = await fetch(href, { signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error(response.status);
    const text = await response.text();
    // The filter has changed meanwhile: the answer to the new one is on its way.
    if (location.href !== href) return;
    const next = new DOMParser().parseFromString(text, 'text/html');
    const open = new Set([...document.querySelectorAll('details[open][id]')].map((element) => element.id));
    for (const id of ['facts', 'content']) {
      const fresh = next.getElementById(id);
      for (const element of fresh.querySelectorAll('details[id]')) element.open = open.has(element.id);
      const old = document.getElementById(id);
      if (old.innerHTML === fresh.innerHTML) continue;
      const focused = focusable(old).indexOf(document.activeElement);
      old.replaceWith(document.adoptNode(fresh));
      if (focused !== -1) focusable(fresh)[focused]?.focus({ preventScroll: true });
    }
    refreshedAt = performance.now();
    failedAt = undefined;
    banner.hidden = true;
  } catch {
    failedAt ??= new Date();
    banner.querySelector('span').textContent = failedAt.toLocaleTimeString();
    banner.hidden = false;
  }
}
async function loop() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, every));
    // Somebody may be copying a text; a screen on a wall must not stand still for that.
    const isRead = String(getSelection()) !== '' && performance.now() - refreshedAt < heldForReaderMax;
    if (!document.hidden && !isRead) await refresh();
  }
}
document.addEventListener('click', async (event) => {
  const button = event.target.closest('button[data-post]');
  if (button === null || !confirm(button.dataset.question)) return;
  button.disabled = true;
  try {
    const response = await fetch(button.dataset.post, { method: 'POST', headers: { 'x-tributary-request': '1' } });
    if (!response.ok) alert((await response.json()).error);
  } catch (error) {
    alert('Not done: ' + error.message);
  }
  button.disabled = false;
  await refresh();
});
document.addEventListener('input', (event) => {
  if (event.target.name !== 'filter') return;
  const url = new URL(location.href);
  url.searchParams.set('filter', event.target.value);
  history.replaceState(null, '', url);
  clearTimeout(typing);
  typing = setTimeout(refresh, 200);
});
loop();
`;

// Not in an `html` template: a formatter would reindent what the policy knows by its hash.
const styleElement = new Markup(`<style>${style}</style>`);
const scriptElement = new Markup(`<script>${script}</script>`);

const hashOf = (text: string): string =>
  `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

const policy = [
  "default-src 'none'",
  `script-src ${hashOf(script)}`,
  `style-src ${hashOf(style)}`,
  "connect-src 'self'",
  "form-action 'self'",
  'img-src data:',
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');
