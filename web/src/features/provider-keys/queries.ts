import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { call } from '../../api/client';
import type { KeyUsage, ProviderInfo } from '../../api/types';

/** The providers the server knows, and what each needs; those that are no names are in the person's language. */
export function useProviders() {
  const { t } = useTranslation();
  return useQuery({
    queryKey: ['providers'],
    queryFn: async () => (await call<{ items: ProviderInfo[] }>('GET', '/api/providers')).items,
    select: (items) =>
      items.map((info) => ({ ...info, label: t(`provider.${info.provider}`, { defaultValue: info.label }) })),
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
