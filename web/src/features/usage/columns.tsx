import { Stack, Text, Tooltip } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { UsageLogRecord } from '../../api/types';
import { formatDateTime, formatMilliseconds, formatNumber } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import type { Column } from '../../ui/DataTable';
import { Money } from '../../ui/Money';
import { StatusBadge } from '../../ui/StatusBadge';
import { providerName } from './provider';

/** The columns of a table of calls; the user is left out where all calls are of one person. */
export function useUsageColumns(withUser: boolean): Column<UsageLogRecord>[] {
  const { t } = useTranslation();
  const locale = useLocale();
  const columns: (Column<UsageLogRecord> | false)[] = [
    {
      key: 'time',
      header: t('field.time'),
      sort: 'created',
      cell: (row) => formatDateTime(row.created, locale),
    },
    withUser && {
      key: 'user',
      header: t('field.user'),
      cell: (row) => row.expand?.user_id?.email ?? row.user_id,
    },
    {
      key: 'model',
      header: t('field.model'),
      sort: 'model',
      cell: (row) => (
        <Stack gap={0}>
          <Text size="sm">{row.model}</Text>
          {row.provider && (
            <Text size="xs" c="dimmed">
              {providerName(row.provider, t)}
            </Text>
          )}
        </Stack>
      ),
    },
    {
      key: 'tokens',
      header: t('field.tokens'),
      align: 'right',
      cell: (row) => (
        <Tooltip
          label={
            row.estimated
              ? t('usage.estimatedHint')
              : `${t('field.promptTokens')} / ${t('field.completionTokens')}`
          }
        >
          <span style={{ whiteSpace: 'nowrap' }}>
            {row.estimated && '≈ '}
            {formatNumber(row.prompt_tokens, locale)} / {formatNumber(row.completion_tokens, locale)}
          </span>
        </Tooltip>
      ),
    },
    {
      key: 'cost',
      header: t('field.cost'),
      sort: 'cost',
      align: 'right',
      cell: (row) => <Money value={row.cost} currency={row.currency} />,
    },
    {
      key: 'duration',
      header: t('field.duration'),
      align: 'right',
      cell: (row) => (
        <span style={{ whiteSpace: 'nowrap' }}>{formatMilliseconds(row.latency_ms, locale)}</span>
      ),
    },
    {
      key: 'status',
      header: t('field.status'),
      cell: (row) => (
        <StatusBadge
          status={row.status}
          label={t(`usageStatus.${row.status}`, { defaultValue: row.status })}
        />
      ),
    },
  ];
  return columns.filter((column): column is Column<UsageLogRecord> => !!column);
}
