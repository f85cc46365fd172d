// Numbers, money and times as the person's locale writes them.

const MISSING = '–';

/**
 * An amount of money. A single call often costs less than a cent, so small amounts show up to six decimals;
 * what is smaller still is shown as "< 0.000001" and never as nothing.
 */
export function formatMoney(
  value: number | null | undefined,
  currency: string | undefined,
  locale: string,
): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const size = Math.abs(value);
  const smallest = 0.000001;
  const tooSmall = size > 0 && size < smallest / 2;
  const maximumFractionDigits = size > 0 && size < 1 ? 6 : 2;
  const shown = tooSmall ? smallest : value;
  const text = currencyFormat(locale, currency, maximumFractionDigits).format(shown);
  return tooSmall ? `< ${text}` : text;
}

const formats = new Map<string, Intl.NumberFormat>();

function currencyFormat(locale: string, currency: string | undefined, maximumFractionDigits: number) {
  const key = `${locale} ${currency} ${maximumFractionDigits}`;
  let format = formats.get(key);
  if (!format) {
    const digits = { minimumFractionDigits: 2, maximumFractionDigits };
    try {
      format = new Intl.NumberFormat(locale, currency ? { style: 'currency', currency, ...digits } : digits);
    } catch {
      // A currency that is no ISO code must not break the page.
      format = new Intl.NumberFormat(locale, digits);
    }
    formats.set(key, format);
  }
  return format;
}

export function formatNumber(value: number | null | undefined, locale: string): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  return new Intl.NumberFormat(locale).format(value);
}

/** Large counts in short: 1.2M. */
export function formatCompact(value: number | null | undefined, locale: string): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  return new Intl.NumberFormat(locale, {
    notation: value >= 100_000 ? 'compact' : 'standard',
    maximumFractionDigits: 1,
  }).format(value);
}

/** The server writes `2026-01-31 10:00:00.123Z`. */
export function parseTime(value: string | null | undefined): Date | null {
  if (!value) return null;
  const date = new Date(value.replace(' ', 'T'));
  return Number.isNaN(date.getTime()) ? null : date;
}

export function formatDateTime(value: string | null | undefined, locale: string): string {
  const date = parseTime(value);
  return date
    ? new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' }).format(date)
    : MISSING;
}

export function formatTime(value: string | null | undefined, locale: string): string {
  const date = parseTime(value);
  return date ? new Intl.DateTimeFormat(locale, { timeStyle: 'medium' }).format(date) : MISSING;
}

export function formatDate(value: string | null | undefined, locale: string): string {
  const date = parseTime(value);
  return date ? new Intl.DateTimeFormat(locale, { dateStyle: 'medium' }).format(date) : MISSING;
}

/** A calendar day, `YYYY-MM-DD`, which is the same day wherever the person is. */
export function formatDay(day: string, locale: string): string {
  const date = parseTime(`${day}T00:00:00Z`);
  return date ? new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeZone: 'UTC' }).format(date) : day;
}

export function formatMilliseconds(value: number | null | undefined, locale: string): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  if (value < 1000) return `${Math.round(value)} ms`;
  return `${new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }).format(value / 1000)} s`;
}

/** The calendar day, `YYYY-MM-DD`, of a time of the server where the person is; empty if there is none. */
export function localDay(value: string | null | undefined): string {
  const date = parseTime(value);
  if (!date) return '';
  const digits = (number: number, length = 2) => String(number).padStart(length, '0');
  return `${digits(date.getFullYear(), 4)}-${digits(date.getMonth() + 1)}-${digits(date.getDate())}`;
}

/** A day that is meant to its end, where the person is. */
export function lastMoment(day: string): Date {
  return new Date(`${day}T23:59:59`);
}

/** The calendar day, `YYYY-MM-DD`, so many days before the given moment. Days are counted in UTC, as the server does. */
export function isoDay(now: Date, daysBefore = 0): string {
  return new Date(now.getTime() - daysBefore * 86_400_000).toISOString().slice(0, 10);
}
