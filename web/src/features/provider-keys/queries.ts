import { useQuery } from '@tanstack/react-query';
import { call } from '../../api/client';
import type { KeyUsage, ProviderInfo } from '../../api/types';

/** The providers the server knows, and what each needs. */
export function useProviders() {
  return useQuery({
    queryKey: ['providers'],
    queryFn: async () => (await call<{ items: ProviderInfo[] }>('GET', '/api/providers')).items,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** What was used by each key in the last thirty days. */
export function useKeyUsage() {
  return useQuery({
    queryKey: ['provider_keys', 'usage'],
    queryFn: async () => (await call<{ items: KeyUsage[] }>('GET', '/api/provider-keys/usage')).items,
    staleTime: 60_000,
  });
}
