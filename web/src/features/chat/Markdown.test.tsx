import { MantineProvider } from '@mantine/core';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, it } from 'vitest';
import Markdown from './Markdown';
import { decodeEntities, safeHref } from './markdownText';

const html = (text: string) =>
  renderToStaticMarkup(
    <MantineProvider>
      <Markdown text={text} />
    </MantineProvider>,
  );

describe('Markdown', () => {
  it.each([
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '[x](javascript:alert(1))',
    '[x](JaVa&#115;cript:alert(1))',
    '[x](data:text/html,hi)',
    '![x](https://example.com/p.png)',
    '<a href="javascript:alert(1)">x</a>',
  ])('makes nothing that runs or loads from %s', (text) => {
    const drawn = html(text);
    expect(drawn).not.toMatch(/<(script|img|iframe)/i);
    expect(drawn).not.toMatch(/<[^>]*\s(on\w+|href="(?!https?:|mailto:))/i);
  });

  it('draws lists, tables, code and marks', () => {
    const drawn = html(
      '# T\n\n- a **b**\n- [ ] c\n\n|h|\n|-|\n|d|\n\n```js\n<x> & y\n```\n\n1 &amp; 2 `&lt;`',
    );
    for (const part of [
      '<h1>T</h1>',
      '<strong>b</strong>',
      'type="checkbox"',
      '<th',
      '<td',
      '&lt;x&gt; &amp; y',
      '1 &amp; 2',
      '<code>&amp;lt;</code>',
    ]) {
      expect(drawn).toContain(part);
    }
  });
});

describe('markdownText', () => {
  it('lets through only addresses of the web and of mail', () => {
    expect(safeHref('https://a.example/?b=1&amp;c=2')).toBe('https://a.example/?b=1&c=2');
    expect(safeHref('mailto:a@b.example')).toBe('mailto:a@b.example');
    for (const bad of ['javascript:x', '/api/users', '//evil.example', 'vbscript:x', ' data:x'])
      expect(safeHref(bad)).toBeNull();
  });

  it('reads character references', () => {
    expect(decodeEntities('&lt;&#65;&#x42;&unknown;&#0;')).toBe('<AB&unknown;&#0;');
  });
});
