import { Code, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { ApiKeyRecord } from '../../api/types';
import { formatDate, formatDateTime, formatMoney } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import type { Column } from '../../ui/DataTable';
import { StatusBadge } from '../../ui/StatusBadge';

export function useKeyColumns(currency: string | undefined): Column<ApiKeyRecord>[] {
  const { t } = useTranslation();
  const locale = useLocale();
  return [
    {
      key: 'name',
      header: t('field.name'),
      cell: (row) => (
        <Text size="sm" fw={600}>
          {row.name}
        </Text>
      ),
    },
    { key: 'key', header: t('field.key'), cell: (row) => <Code>{`${row.prefix}…${row.last4}`}</Code> },
    {
      key: 'budget',
      header: t('field.budget'),
      cell: (row) =>
        row.budget_total > 0
          ? t('keys.spent', {
              used: formatMoney(row.budget_used, currency, locale),
              total: formatMoney(row.budget_total, currency, locale),
            })
          : t('common.noLimit'),
    },
    {
      key: 'expires',
      header: t('field.expires'),
      cell: (row) => (row.expires ? formatDate(row.expires, locale) : t('common.never')),
    },
    {
      key: 'used',
      header: t('field.lastUsed'),
      cell: (row) => (row.last_used ? formatDateTime(row.last_used, locale) : t('common.never')),
    },
    {
      key: 'status',
      header: t('field.status'),
      cell: (row) => (
        <StatusBadge status={row.status} label={t(`keyStatus.${row.status}`, { defaultValue: row.status })} />
      ),
    },
  ];
}
