import { describe, expect, it } from 'vitest';
import {
  formatDateTime,
  formatMilliseconds,
  formatMoney,
  isoDay,
  lastMoment,
  localDay,
  parseTime,
} from './format';

/** Intl writes narrow and non-breaking spaces; the tests care about the rest. */
const plain = (text: string) => text.replace(/[\u00a0\u202f]/g, ' ');

describe('formatMoney', () => {
  it.each([
    [100, 'EUR', 'de-DE', '100,00 €'],
    [1234.5, 'EUR', 'en-GB', '€1,234.50'],
    [0, 'EUR', 'en-GB', '€0.00'],
    [0.0123, 'EUR', 'en-GB', '€0.0123'],
    [0.000123, 'EUR', 'de-DE', '0,000123 €'],
    [0.5, 'USD', 'en-US', '$0.50'],
    [0.0000001, 'EUR', 'en-GB', '< €0.000001'],
    [-0.02, 'EUR', 'en-GB', '-€0.02'],
    [5, 'nonsense', 'en-GB', '5.00'],
    [5, undefined, 'en-GB', '5.00'],
  ])('%d %s in %s', (value, currency, locale, text) => {
    expect(plain(formatMoney(value, currency, locale))).toBe(text);
  });

  it('shows a dash for what is missing', () => {
    expect(formatMoney(null, 'EUR', 'de')).toBe('–');
    expect(formatMoney(Number.NaN, 'EUR', 'de')).toBe('–');
  });
});

describe('times', () => {
  it('reads what the server writes', () => {
    expect(parseTime('2026-01-31 10:00:00.123Z')?.toISOString()).toBe('2026-01-31T10:00:00.123Z');
    expect(parseTime('')).toBeNull();
    expect(formatDateTime('nonsense', 'de')).toBe('–');
  });

  it('counts days back in UTC', () => {
    expect(isoDay(new Date('2026-03-01T00:30:00Z'), 1)).toBe('2026-02-28');
  });

  it('writes durations', () => {
    expect(formatMilliseconds(999.6, 'en')).toBe('1000 ms');
    expect(formatMilliseconds(1250, 'de')).toBe('1,3 s');
  });
});

describe('localDay', () => {
  it('is the day that was chosen, wherever that is', () => {
    const kept = lastMoment('2026-03-09').toISOString().replace('T', ' ');
    expect(localDay(kept)).toBe('2026-03-09');
    expect(localDay('')).toBe('');
  });
});
