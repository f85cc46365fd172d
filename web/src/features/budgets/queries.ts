import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { call } from '../../api/client';

export const PERIODS = ['total', 'days', 'day', 'week', 'month'] as const;
export type Period = (typeof PERIODS)[number];

/** The window that the budget fields of records show. */
export const MAIN = 'main';
/** As many as the server allows. */
export const MAX_WINDOWS = 8;

/** Whose budgets: the word of the endpoint is also the head of the query keys. */
export type Owners = 'users' | 'tenants' | 'keys';

export interface BudgetWindow {
  name: string;
  /** As it was set; null: none. */
  limit: number | null;
  period: Period;
  period_days: number;
  carry_over: boolean;
  carried_over: number;
  increase: number;
  limit_in_force: number | null;
  used: number;
  reserved: number;
  remaining: number | null;
  period_start: string;
  reset_date: string;
}

export interface BudgetIncrease {
  id: string;
  window: string;
  amount: number;
  until: string;
  note: string;
  actor: string;
  created: string;
  /** Empty while it is in force. */
  ended: string;
}

export interface Budgets {
  currency: string;
  time_zone: string;
  windows: BudgetWindow[];
  increases: BudgetIncrease[];
}

export interface ClosedPeriod {
  window: string;
  currency: string;
  starts: string;
  ends: string;
  limit: number | null;
  spent: number;
  carried_over: number;
}

/** A window as it is sent. */
export interface WindowSpec {
  name: string;
  limit: number | null;
  period: Period;
  period_days: number;
  carry_over: boolean;
}

const path = (owners: Owners, id: string) => `/api/${owners}/${encodeURIComponent(id)}/budgets`;

export function useBudgets(owners: Owners, id: string | undefined) {
  return useQuery({
    queryKey: [owners, 'budgets', id],
    queryFn: () => call<Budgets>('GET', path(owners, id ?? '')),
    enabled: !!id,
  });
}

export function useClosedPeriods(owners: Owners, id: string, page: number) {
  return useQuery({
    queryKey: [owners, 'budgets', id, 'history', page],
    queryFn: async () => {
      const answer = await call<{
        page: number;
        totalItems: number;
        totalPages: number;
        items: ClosedPeriod[];
      }>('GET', `${path(owners, id)}/history?page=${page}&perPage=10`);
      // Rows of a table have a key.
      const items = answer.items.map((item) => ({
        ...item,
        id: `${item.window} ${item.starts} ${item.ends}`,
      }));
      return { ...answer, items };
    },
    placeholderData: keepPreviousData,
  });
}

/** Everything that changes budgets, and refreshes what shows them afterwards. */
export function useBudgetActions(owners: Owners, id: string) {
  const queries = useQueryClient();
  const onSuccess = () =>
    Promise.all(
      // The records of keys are called otherwise.
      [owners, ...(owners === 'keys' ? ['api_keys'] : []), 'ledger_entries'].map((name) =>
        queries.invalidateQueries({ queryKey: [name] }),
      ),
    );
  const set = useMutation({
    mutationFn: (windows: WindowSpec[]) => call<Budgets>('PUT', path(owners, id), { windows }),
    onSuccess,
  });
  const increase = useMutation({
    // The key is made once per dialog, so that sending twice gives once.
    mutationFn: ({ key, ...body }: { key: string } & Record<string, unknown>) =>
      call<unknown>('POST', `${path(owners, id)}/increases`, body, { 'Idempotency-Key': key }),
    onSuccess,
  });
  const end = useMutation({
    mutationFn: (increase: string) =>
      call<Budgets>('DELETE', `${path(owners, id)}/increases/${encodeURIComponent(increase)}`),
    onSuccess,
  });
  return { set: set.mutateAsync, increase: increase.mutateAsync, end: end.mutateAsync };
}
