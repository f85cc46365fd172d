import { describe, expect, it } from 'vitest';
import { all, contains, quote } from './filter';

describe('quote', () => {
  it.each([
    ['plain', "'plain'"],
    ["O'Brien", "'O\\'Brien'"],
    ['say "hi"', '\'say "hi"\''],
    ["' || role = 'admin", "'\\' || role = \\'admin'"],
    ["\\' || 1=1", "'\\' || 1=1'"],
    ['ends with \\', "'ends with '"],
    ['a\\b', "'a\\b'"],
  ])('writes %s as one literal', (value, literal) => {
    expect(quote(value)).toBe(literal);
  });

  it('writes numbers, booleans and null bare', () => {
    expect([quote(1.5), quote(true), quote(null)]).toEqual(['1.5', 'true', 'null']);
  });
});

describe('all and contains', () => {
  it('joins what is present', () => {
    expect(all('a = 1', '', undefined, 'b = 2 || c = 3')).toBe('(a = 1) && (b = 2 || c = 3)');
    expect(all('a = 1', false)).toBe('a = 1');
    expect(all()).toBe('');
  });

  it('searches several fields, and nothing for an empty text', () => {
    expect(contains(['name', 'email'], ' max ')).toBe("name ~ 'max' || email ~ 'max'");
    expect(contains(['name'], '  ')).toBe('');
  });
});
