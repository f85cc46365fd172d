import { describe, expect, it } from 'vitest';
import { addUp, fillDays } from './sums';

const item = (key: string, cost: number, currency = 'EUR') => ({
  key,
  label: key,
  requests: 2,
  prompt_tokens: 10,
  completion_tokens: 5,
  cost,
  currency,
});

describe('addUp', () => {
  it('never adds different currencies', () => {
    expect(addUp([item('a', 1), item('b', 2, 'USD'), item('c', 3)])).toEqual({
      requests: 6,
      promptTokens: 30,
      completionTokens: 15,
      costs: [
        { currency: 'EUR', cost: 4 },
        { currency: 'USD', cost: 2 },
      ],
    });
  });
});

describe('fillDays', () => {
  it('has an amount for each day, of one currency', () => {
    const days = fillDays(
      [item('2026-11-23', 1), item('2026-11-23', 9, 'USD')],
      'EUR',
      new Date('2026-11-24T12:00:00Z'),
      3,
    );
    expect(days).toEqual([
      { day: '2026-11-22', amount: 0 },
      { day: '2026-11-23', amount: 1 },
      { day: '2026-11-24', amount: 0 },
    ]);
  });
});
