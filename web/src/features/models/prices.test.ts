import { describe, expect, it } from 'vitest';
import { fromFields, toFields } from './prices';

describe('prices', () => {
  it('is null when no field is filled, so that the price book decides', () => {
    expect(fromFields(toFields(null), null)).toBeNull();
  });

  it('keeps prices that the form does not show', () => {
    const before = { input: 1, output: '2.5', audio_minute: 0.006, tiers: [{ above: 200000, input: 2 }] };
    const fields = toFields(before);
    expect(fields).toEqual({ ...toFields(null), input: 1, output: 2.5, audio_minute: 0.006 });
    expect(fromFields({ ...fields, input: '', audio_minute: '' }, before)).toEqual({
      output: 2.5,
      tiers: before.tiers,
    });
  });

  it('keeps a price of zero', () => {
    expect(fromFields({ ...toFields(null), input: 0, image: 0 }, null)).toEqual({ input: 0, image: 0 });
  });
});
