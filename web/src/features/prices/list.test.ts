import { describe, expect, it } from 'vitest';
import { fromRows, newRow, toRows } from './list';

describe('a price list', () => {
  it('is shown and stored as it was', () => {
    const list = [
      { model: 'gpt-5', input: 2, output: '12.5', service_tiers: { priority: { input: 4, output: 25 } } },
      { model: 'small', input: 0, output: 0, cached_input: 0 },
    ];
    const stored = fromRows(toRows(list));
    expect(stored[0]).toEqual({ ...list[0], output: 12.5 });
    expect(stored[1]).toEqual(list[1]);
    expect(toRows(null)).toEqual([]);
  });

  it('drops lines without a model and prices that were emptied', () => {
    const row = newRow({ model: 'gpt-5', input: 2, output: 12, cached_input: 1 });
    row.fields.cached_input = '';
    expect(fromRows([row, newRow()])).toEqual([{ model: 'gpt-5', input: 2, output: 12 }]);
  });
});
