import { Badge, Code, Stack, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { useOptions } from '../../api/records';
import type { ProviderKeyRecord } from '../../api/types';
import { formatDateTime, formatMoney, formatNumber } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import type { Column } from '../../ui/DataTable';
import { StatusBadge } from '../../ui/StatusBadge';
import { useKeyUsage, useProviders } from './queries';
import { troubleText } from './trouble';

export function useProviderKeyColumns(): Column<ProviderKeyRecord>[] {
  const { t } = useTranslation();
  const providers = useProviders();
  const tenants = useOptions('tenants');
  const locale = useLocale();
  const usage = useKeyUsage();
  return [
    {
      key: 'name',
      header: t('field.name'),
      sort: 'name',
      cell: (row) => (
        <Text size="sm" fw={600}>
          {row.name}
        </Text>
      ),
    },
    {
      key: 'provider',
      header: t('field.provider'),
      sort: 'provider',
      cell: (row) =>
        providers.data?.find((provider) => provider.provider === row.provider)?.label ?? row.provider,
    },
    {
      key: 'address',
      header: t('field.baseUrl'),
      // An address has no spaces to break at, and would push the rest out of sight.
      cell: (row) => (
        <Text size="sm" miw={140} maw={220} style={{ overflowWrap: 'anywhere' }}>
          {[row.base_url, row.region].filter(Boolean).join(' · ') || '–'}
        </Text>
      ),
    },
    {
      key: 'secret',
      header: t('field.secret'),
      cell: (row) => (row.secret ? <Code>{row.secret}</Code> : '–'),
    },
    {
      key: 'tenant',
      header: t('field.tenant'),
      cell: (row) =>
        row.tenant_id
          ? (tenants.data?.find((tenant) => tenant.id === row.tenant_id)?.name ?? row.tenant_id)
          : t('common.all'),
    },
    {
      key: 'usage',
      header: t('providerKeys.usage'),
      align: 'right',
      cell: (row) => {
        const used = usage.data?.find((item) => item.provider_key_id === row.id);
        if (!used) return '–';
        return (
          <Stack gap={0}>
            <Text size="sm">{formatMoney(used.provider_cost, 'USD', locale)}</Text>
            <Text size="xs" c="dimmed">
              {t('providerKeys.usageCalls', {
                requests: formatNumber(used.requests, locale),
                failed: formatNumber(used.failed, locale),
              })}
            </Text>
          </Stack>
        );
      },
    },
    {
      key: 'active',
      header: t('field.status'),
      sort: 'active',
      cell: (row) => {
        const state = row.active ? 'active' : 'inactive';
        const badge = <StatusBadge status={state} label={t(`activeState.${state}`)} />;
        if (!row.trouble) return badge;
        return (
          <Stack gap={2} align="flex-start">
            <Badge color="red" variant="light" tt="none">
              {t('providerKeys.setAside')}
            </Badge>
            <Text size="xs" c="dimmed" maw={260}>
              {troubleText(row.trouble, t)}{' '}
              {t('providerKeys.since', { time: formatDateTime(row.trouble_since ?? '', locale) })}
            </Text>
          </Stack>
        );
      },
    },
  ];
}
