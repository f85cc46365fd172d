import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { call } from '../../api/client';
import type { UsageGroup, UsageSummary } from '../../api/types';

export interface SummaryOptions {
  group: UsageGroup;
  from: string;
  to: string;
  userId?: string;
  tenantId?: string;
}

export function useUsageSummary({ group, from, to, userId, tenantId }: SummaryOptions, enabled = true) {
  const query = new URLSearchParams({ group_by: group, from, to });
  if (userId) query.set('user_id', userId);
  if (tenantId) query.set('tenant_id', tenantId);
  return useQuery({
    queryKey: ['usage-summary', query.toString()],
    queryFn: () => call<UsageSummary>('GET', `/api/usage/summary?${query}`),
    placeholderData: keepPreviousData,
    enabled,
  });
}
