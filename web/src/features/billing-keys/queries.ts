import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { call } from '../../api/client';

export const SCOPES = ['read', 'check', 'log', 'manage'] as const;
export type Scope = (typeof SCOPES)[number];

export interface BillingKey {
  id: string;
  name: string;
  scopes: Scope[];
  /** The one tenant it sees; empty for all. */
  tenant_id: string;
  requests_per_minute: number;
  last4: string;
  status: 'active' | 'revoked';
  created: string;
  revoked: string;
}

export type CreatedBillingKey = BillingKey & { key: string };

export interface NewBillingKey {
  name: string;
  scopes: Scope[];
  tenant_id?: string;
  requests_per_minute?: number;
}

interface BillingKeyPage {
  items: BillingKey[];
  page: number;
  totalItems: number;
  totalPages: number;
}

const PER_PAGE = 30;

export function useBillingKeys(page: number) {
  return useQuery({
    queryKey: ['billing_keys', page],
    queryFn: () => call<BillingKeyPage>('GET', `/api/billing-keys?page=${page}&perPage=${PER_PAGE}`),
    placeholderData: keepPreviousData,
  });
}

export function useBillingKeyActions() {
  const queries = useQueryClient();
  const onSuccess = () => queries.invalidateQueries({ queryKey: ['billing_keys'] });
  const create = useMutation({
    mutationFn: (body: NewBillingKey) => call<CreatedBillingKey>('POST', '/api/billing-keys', body),
    onSuccess,
  });
  const revoke = useMutation({
    mutationFn: (id: string) => call<void>('DELETE', `/api/billing-keys/${encodeURIComponent(id)}`),
    onSuccess,
  });
  return { create: create.mutateAsync, revoke: revoke.mutateAsync };
}
