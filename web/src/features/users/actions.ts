import { useMutation, useQueryClient } from '@tanstack/react-query';
import { call, pb } from '../../api/client';
import type { CreatedUser, UserRecord, UserStatus } from '../../api/types';

export interface NewUser {
  email: string;
  name: string;
  role: string;
  status: string;
  tenant_id: string;
  product_id: string;
  password?: string;
}

/** Everything that changes a user, and refreshes what shows users afterwards. */
export function useUserActions() {
  const queries = useQueryClient();
  const onSuccess = () =>
    Promise.all(
      ['users', 'tenants', 'ledger_entries', 'api_keys'].map((name) =>
        queries.invalidateQueries({ queryKey: [name] }),
      ),
    );
  const create = useMutation({
    mutationFn: (body: NewUser) => call<CreatedUser>('POST', '/api/users', body),
    onSuccess,
  });
  const update = useMutation({
    mutationFn: ({ id, body }: { id: string; body: Record<string, unknown> }) =>
      pb.collection('users').update<UserRecord>(id, body),
    onSuccess,
  });
  const resetBudget = useMutation({
    mutationFn: (id: string) => call<UserRecord>('POST', `/api/users/${encodeURIComponent(id)}/reset-budget`),
    onSuccess,
  });
  const topUp = useMutation({
    // The key is made once per dialog, so that sending twice books once.
    mutationFn: ({
      id,
      key,
      ...body
    }: {
      id: string;
      key: string;
      amount: number;
      currency: string;
      note: string;
    }) =>
      call<UserRecord>('POST', `/api/users/${encodeURIComponent(id)}/top-up`, body, {
        'Idempotency-Key': key,
      }),
    onSuccess,
  });
  return {
    create: create.mutateAsync,
    update: (id: string, body: Record<string, unknown>) => update.mutateAsync({ id, body }),
    setStatus: (id: string, status: UserStatus) => update.mutateAsync({ id, body: { status } }),
    resetBudget: resetBudget.mutateAsync,
    topUp: topUp.mutateAsync,
  };
}
