import { useQuery } from '@tanstack/react-query';
import { call } from '../../api/client';
import type { ProviderInfo } from '../../api/types';

/** The providers the server knows, and what each needs. */
export function useProviders() {
  return useQuery({
    queryKey: ['providers'],
    queryFn: async () => (await call<{ items: ProviderInfo[] }>('GET', '/api/providers')).items,
    staleTime: Number.POSITIVE_INFINITY,
  });
}
