import { describe, expect, it } from 'vitest';
import { fromFields, toFields } from './prices';

describe('prices', () => {
  it('is null when no field is filled, so that the price book decides', () => {
    expect(fromFields(toFields(null), null)).toBeNull();
  });

  it('keeps prices that the form does not show', () => {
    const before = { input: 1, output: '2.5', tiers: [{ above: 200000, input: 2 }] };
    const fields = toFields(before);
    expect(fields).toEqual({ input: 1, output: 2.5, cached_input: '', cache_write: '' });
    expect(fromFields({ ...fields, input: '' }, before)).toEqual({ output: 2.5, tiers: before.tiers });
  });

  it('keeps a price of zero', () => {
    expect(fromFields({ input: 0, output: '', cached_input: '', cache_write: '' }, null)).toEqual({
      input: 0,
    });
  });
});
