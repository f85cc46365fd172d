import { describe, expect, it } from 'vitest';
import { shownPrice } from './amounts';

describe('prices by the million', () => {
  it('moves the point and loses no digit', () => {
    expect(shownPrice('input', '0.00000125')).toBe('1.25');
    expect(shownPrice('output', '0.00001')).toBe('10');
    expect(shownPrice('cache_read', '0.0000000055')).toBe('0.0055');
    expect(shownPrice('priority.input', '0.0000025')).toBe('2.5');
    expect(shownPrice('input', '0')).toBe('0');
    expect(shownPrice('input', '1')).toBe('1000000');
  });

  it('leaves what is billed by the piece', () => {
    expect(shownPrice('web_search_query.low', '0.01')).toBe('0.01');
    expect(shownPrice('output_cost_per_image', '0.04')).toBe('0.04');
    expect(shownPrice('multiplier.regional_endpoint', '1.1')).toBe('1.1');
    expect(shownPrice('limit.output', '128000')).toBe('128000');
  });
});
