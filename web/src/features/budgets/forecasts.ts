import { useQuery } from '@tanstack/react-query';
import { call } from '../../api/client';
import type { BudgetRecord } from '../../api/types';

/** How many owners the server tells at a time. */
const OWNERS = 100;

type Waiting = { resolve: (budgets: BudgetRecord[]) => void; reject: (error: unknown) => void };
let waiting = new Map<string, Waiting[]>();

/** The budgets of one owner. What is asked for in the same moment, such as by the rows of a table, goes as one call. */
function load(owner: string): Promise<BudgetRecord[]> {
  return new Promise((resolve, reject) => {
    if (waiting.size === 0) setTimeout(() => void loadWaiting(), 0);
    waiting.set(owner, [...(waiting.get(owner) ?? []), { resolve, reject }]);
  });
}

async function loadWaiting() {
  const asked = [...waiting.entries()];
  waiting = new Map();
  for (let start = 0; start < asked.length; start += OWNERS) {
    const part = asked.slice(start, start + OWNERS);
    try {
      const owners = part.map(([owner]) => owner).join(',');
      const answer = await call<{ items: BudgetRecord[] }>('GET', `/api/budgets?owners=${owners}`);
      for (const [owner, askers] of part) {
        const own = answer.items.filter((budget) => budget.owner_id === owner);
        for (const asker of askers) asker.resolve(own);
      }
    } catch (error) {
      for (const [, askers] of part) for (const asker of askers) asker.reject(error);
    }
  }
}

/** The budgets of a user or tenant, with where they lead; asked for anew whenever users or tenants are. */
export function useForecasts(collection: 'users' | 'tenants', owner: string | undefined) {
  return useQuery({
    queryKey: [collection, 'forecasts', owner],
    queryFn: () => load(owner ?? ''),
    enabled: !!owner,
  });
}
