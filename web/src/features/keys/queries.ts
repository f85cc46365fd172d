import { useMutation, useQueryClient } from '@tanstack/react-query';
import { call } from '../../api/client';
import type { CreatedApiKey } from '../../api/types';

export interface NewKey {
  name: string;
  user_id?: string;
  models: string[];
  budget_total?: number;
  rate_limit: number;
  tokens_per_minute: number;
  parallel_requests: number;
  expires?: string;
}

export function useKeyActions() {
  const queries = useQueryClient();
  const onSuccess = () => queries.invalidateQueries({ queryKey: ['api_keys'] });
  const create = useMutation({
    mutationFn: (body: NewKey) => call<CreatedApiKey>('POST', '/api/keys', body),
    onSuccess,
  });
  const rotate = useMutation({
    mutationFn: ({ id, graceSeconds }: { id: string; graceSeconds: number }) =>
      call<CreatedApiKey>('POST', `/api/keys/${encodeURIComponent(id)}/rotate`, {
        grace_seconds: graceSeconds,
      }),
    onSuccess,
  });
  const revoke = useMutation({
    mutationFn: (id: string) => call<void>('DELETE', `/api/keys/${encodeURIComponent(id)}`),
    onSuccess,
  });
  return { create: create.mutateAsync, rotate: rotate.mutateAsync, revoke: revoke.mutateAsync };
}
