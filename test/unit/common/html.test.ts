import assert from 'node:assert/strict';
import { test } from 'node:test';
import { escapeHtml, html, nothing } from '../../../common/html.ts';
import { actionButton, renderPage } from '../../../common/page.ts';

const hostile = `"><img src=x onerror='alert(1)'>&amp;`;

test('inserted texts are escaped, in content and in attributes', () => {
  const { text } = html`<a title="${hostile}">${hostile}</a>`;
  assert.equal(text.match(/</g)?.length, 2);
  assert.equal(text.match(/"/g)?.length, 2);
  assert.ok(!text.includes("'"));
  assert.ok(text.includes('&amp;amp;'));
});

test('markup is inserted as it is, also as a list, and numbers as texts', () => {
  const items = ['a', '<b>'].map((item) => html`<i>${item}</i>`);
  assert.equal(html`<b>${items}</b>${nothing}${3}`.text, '<b><i>a</i><i>&lt;b&gt;</i></b>3');
});

test('control and direction characters cannot rearrange a page', () => {
  assert.equal(escapeHtml('a\u0000b\u202ec\u2066d\u001be'), 'a\ufffdb\ufffdc\ufffdd\ufffde');
  assert.equal(escapeHtml('größe 服务'), 'größe 服务');
});

test('a page loads nothing and runs only its own script', () => {
  const page = renderPage({
    title: hostile,
    header: html`<b>${hostile}</b>`,
    tools: nothing,
    content: actionButton('Go', `/api/${hostile}`, hostile),
  });
  assert.equal(page.status, 200);
  assert.match(page.contentType, /^text\/html/);
  assert.ok(!page.body.includes('<img'));
  const policy = page.headers?.['content-security-policy'] ?? '';
  assert.match(policy, /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+';/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.equal(page.body.match(/<script/g)?.length, 1);
  assert.doesNotMatch(page.body, /(src|href)="(?!data:)/);
});
