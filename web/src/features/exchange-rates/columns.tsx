import { Badge, Group } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { ExchangeRateRecord } from '../../api/types';
import { formatDate } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import type { Column } from '../../ui/DataTable';

export function useExchangeRateColumns(): Column<ExchangeRateRecord>[] {
  const { t } = useTranslation();
  const locale = useLocale();
  return [
    {
      key: 'pair',
      header: `${t('field.base')} → ${t('field.quote')}`,
      sort: 'base',
      cell: (row) => `${row.base} → ${row.quote}`,
    },
    {
      key: 'rate',
      header: t('field.rate'),
      align: 'right',
      cell: (row) => new Intl.NumberFormat(locale, { maximumFractionDigits: 9 }).format(row.rate),
    },
    { key: 'date', header: t('field.date'), sort: 'date', cell: (row) => formatDate(row.date, locale) },
    {
      key: 'source',
      header: t('field.source'),
      cell: (row) => (
        <Group gap="xs">
          {row.source || '–'}
          {row.source?.startsWith('placeholder') && (
            <Badge variant="dot" color="yellow" tt="none">
              {t('rates.placeholder')}
            </Badge>
          )}
        </Group>
      ),
    },
  ];
}
