import { useQuery } from '@tanstack/react-query';
import { call } from '../../api/client';
import type { Statement } from '../../api/types';

export interface Month {
  month: string;
  closed: boolean;
}

/** The months that a tenant has statements of, the latest first. */
export function useMonths(tenant: string) {
  return useQuery({
    queryKey: ['statements', tenant],
    queryFn: () => call<{ items: Month[] }>('GET', `/api/statements/${tenant}`),
    enabled: tenant !== '',
  });
}

export function useStatement(tenant: string, month: string | undefined) {
  return useQuery({
    queryKey: ['statements', tenant, month],
    queryFn: () => call<Statement>('GET', `/api/statements/${tenant}/${month}`),
    enabled: tenant !== '' && !!month,
  });
}
