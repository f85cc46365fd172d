import { Code, Stack, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { ApiKeyRecord } from '../../api/types';
import { formatDate, formatDateTime, formatMoney, parseTime } from '../../lib/format';
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
        <Stack gap={0}>
          <Text size="sm" fw={600}>
            {row.name}
          </Text>
          {row.models && row.models.length > 0 && (
            <Text size="xs" c="dimmed" lineClamp={2}>
              {row.models.join(', ')}
            </Text>
          )}
        </Stack>
      ),
    },
    {
      key: 'key',
      header: t('field.key'),
      cell: (row) => <Code style={{ whiteSpace: 'nowrap' }}>{`${row.prefix}…${row.last4}`}</Code>,
    },
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
      cell: (row) => {
        const status = row.status === 'active' && isOver(row.expires) ? 'expired' : row.status;
        return <StatusBadge status={status} label={t(`keyStatus.${status}`, { defaultValue: status })} />;
      },
    },
  ];
}

function isOver(expires: string): boolean {
  const end = parseTime(expires);
  return end !== null && end <= new Date();
}
