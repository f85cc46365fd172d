import type { UsageSum } from '../../api/types';
import { isoDay } from '../../lib/format';
import type { DayAmount } from '../../ui/TimeChart';

export interface Totals {
  requests: number;
  promptTokens: number;
  completionTokens: number;
  costs: { currency: string; cost: number }[];
}

/** Adds up items. Amounts of different currencies are never added to each other. */
export function addUp(items: UsageSum[]): Totals {
  const costs = new Map<string, number>();
  const totals: Totals = { requests: 0, promptTokens: 0, completionTokens: 0, costs: [] };
  for (const item of items) {
    totals.requests += item.requests;
    totals.promptTokens += item.prompt_tokens;
    totals.completionTokens += item.completion_tokens;
    costs.set(item.currency, (costs.get(item.currency) ?? 0) + item.cost);
  }
  totals.costs = [...costs].map(([currency, cost]) => ({ currency, cost })).sort((a, b) => b.cost - a.cost);
  return totals;
}

/** One amount for each of the last days, also for those without a call. */
export function fillDays(
  items: (UsageSum & { key: string })[],
  currency: string,
  now: Date,
  count: number,
): DayAmount[] {
  const amounts = new Map<string, number>();
  for (const item of items)
    if (item.currency === currency) amounts.set(item.key, (amounts.get(item.key) ?? 0) + item.cost);
  return Array.from({ length: count }, (_, index) => {
    const day = isoDay(now, count - 1 - index);
    return { day, amount: amounts.get(day) ?? 0 };
  });
}
