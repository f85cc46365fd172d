import { Alert } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { call } from '../../api/client';
import type { RateStatus } from '../../api/types';
import { formatDay } from '../../lib/format';
import { useLocale } from '../../lib/i18n';

/** Rates that bills should not be made by: placeholders, old ones, none at all. */
export function RateWarnings({ action, enabled = true }: { action?: ReactNode; enabled?: boolean }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const status = useQuery({
    queryKey: ['exchange_rates', 'status'],
    queryFn: () => call<RateStatus>('GET', '/api/exchange-rates/status'),
    enabled,
  });
  const items = status.data?.items ?? [];
  const named = (which: typeof items) => which.map((item) => item.quote).join(', ');
  const missing = items.filter((item) => item.rate === null);
  const placeholders = items.filter((item) => item.placeholder);
  const old = items.filter((item) => item.rate !== null && item.stale && !item.placeholder);
  const sentences = [
    missing.length > 0 && t('rates.missing', { currencies: named(missing) }),
    placeholders.length > 0 && t('dashboard.placeholderRates'),
    ...old.map((item) =>
      t(status.data?.fetched ? 'rates.oldFetched' : 'rates.old', {
        currency: item.quote,
        date: formatDay(item.date, locale),
        days: item.age_days,
      }),
    ),
  ].filter((sentence) => sentence !== false);
  if (sentences.length === 0) return null;
  return (
    <Alert color="yellow" icon={<IconAlertTriangle aria-hidden />}>
      {sentences.join(' ')} {action}
    </Alert>
  );
}
