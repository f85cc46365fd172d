// Filter strings for record lists. The SDK's own pb.filter() is not used: it needs RegExp.escape,
// which browsers older than 2025 do not have.

/**
 * Writes a value as a literal of the filter language.
 *
 * The language knows no escape for the backslash itself, so one that stands before a quote or at the end
 * would swallow the closing quote. Nobody searches for those; they are left out.
 */
export function quote(value: string | number | boolean | null): string {
  if (value === null) return 'null';
  if (typeof value !== 'string') return String(value);
  return `'${value.replace(/\\+(?='|$)/g, '').replaceAll("'", "\\'")}'`;
}

/** Joins the conditions that are present with `&&`. */
export function all(...conditions: (string | false | null | undefined)[]): string {
  const present = conditions.filter((condition): condition is string => !!condition);
  return present.length > 1 ? present.map((condition) => `(${condition})`).join(' && ') : (present[0] ?? '');
}

/** A search box over several fields: any of them contains the text. Empty text is no condition. */
export function contains(fields: readonly string[], text: string | undefined): string {
  const trimmed = (text ?? '').trim().slice(0, 200);
  if (!trimmed) return '';
  return fields.map((field) => `${field} ~ ${quote(trimmed)}`).join(' || ');
}
