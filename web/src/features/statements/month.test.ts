import { expect, test } from 'vitest';
import { formatMonth } from './month';

test('a month is named in the language of the page, whatever the time zone', () => {
  expect(formatMonth('2026-01', 'en')).toBe('January 2026');
  expect(formatMonth('2026-03', 'de')).toBe('März 2026');
  expect(formatMonth('soon', 'de')).toBe('soon');
});
