import { describe, expect, it } from 'vitest';
import { mayOpen } from '../nav';
import { parseListSearch } from './listSearch';

describe('parseListSearch', () => {
  it('keeps what is well-formed and drops the rest', () => {
    expect(parseListSearch({ page: '3', q: 'max', sort: '-created', evil: 'x', status: '' })).toEqual({
      page: 3,
      q: 'max',
      sort: '-created',
    });
    expect(parseListSearch({ page: -1, q: { a: 1 } })).toEqual({});
    expect(parseListSearch({ q: 42 })).toEqual({ q: '42' });
  });
});

describe('mayOpen', () => {
  it.each([
    ['/', 'user', true],
    ['/keys', 'user', true],
    ['/users', 'user', false],
    ['/users/abc', 'user', false],
    ['/users/abc', 'tenant_admin', true],
    ['/provider-keys', 'tenant_admin', false],
    ['/audit', 'admin', true],
  ] as const)('%s as %s: %s', (path, role, allowed) => {
    expect(mayOpen(path, role)).toBe(allowed);
  });
});
