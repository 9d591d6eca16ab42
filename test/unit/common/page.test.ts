import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Script } from 'node:vm';
import { html, nothing } from '../../../common/html.ts';
import { actionButton, describeStatus, fact, pill, renderPage } from '../../../common/page.ts';

const page = renderPage({
  title: 'Tributary',
  header: html`<b>header</b>`,
  tools: nothing,
  content: html`<b>content</b>`,
});

function contentOf(element: 'style' | 'script'): string {
  const start = page.body.indexOf(`<${element}>`);
  const end = page.body.indexOf(`</${element}>`);
  assert.ok(start !== -1 && end > start);
  return page.body.slice(start + element.length + 2, end);
}

test('the policy allows exactly the style and the script that stand on the page', () => {
  const policy = page.headers?.['content-security-policy'] ?? '';
  for (const element of ['style', 'script'] as const) {
    const hash = createHash('sha256').update(contentOf(element)).digest('base64');
    assert.ok(policy.includes(`${element}-src 'sha256-${hash}'`), element);
  }
});

test('the script of the page compiles', () => {
  assert.ok(new Script(contentOf('script')) instanceof Script);
});

test('the parts that the script replaces and shows stand on the page', () => {
  for (const id of ['facts', 'content', 'unreachable', 'tools']) {
    assert.ok(page.body.includes(` id="${id}"`), id);
  }
});

test('what buttons, pills and facts are given cannot become markup', () => {
  const hostile = `"><script>alert('1')</script>`;
  const parts = [actionButton(hostile, hostile, hostile), pill('bad', hostile), fact(hostile, 1)];
  for (const { text } of parts) {
    assert.ok(!text.includes('<script'));
    assert.ok(text.includes('&lt;script&gt;'));
  }
});

test('a status is written as a person says it', () => {
  assert.equal(describeStatus('OUT_OF_SERVICE'), 'out of service');
  assert.equal(describeStatus('GONE'), 'remembered');
  assert.equal(describeStatus('no port'), 'no port');
});
