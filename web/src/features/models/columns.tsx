import { Stack, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { useOptions } from '../../api/records';
import type { ModelRecord } from '../../api/types';
import { formatMoney } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import type { Column } from '../../ui/DataTable';
import { StatusBadge } from '../../ui/StatusBadge';
import { toFields } from './prices';

export function useModelColumns(): Column<ModelRecord>[] {
  const { t } = useTranslation();
  const locale = useLocale();
  const keys = useOptions('provider_keys');
  const tenants = useOptions('tenants');
  const keyName = (id: string) => keys.data?.find((key) => key.id === id)?.name ?? id;
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
      key: 'deployments',
      header: t('field.deployments'),
      cell: (row) => (
        <Stack gap={0}>
          {(row.deployments ?? []).map((deployment) => (
            <Text key={`${deployment.provider_key} ${deployment.model} ${deployment.order}`} size="sm">
              {deployment.model}{' '}
              <Text span c="dimmed" size="xs">
                {keyName(deployment.provider_key)}
              </Text>
            </Text>
          ))}
        </Stack>
      ),
    },
    {
      key: 'prices',
      header: t('field.price'),
      cell: (row) => {
        const { input, output } = toFields(row.prices);
        if (typeof input !== 'number' && typeof output !== 'number') return t('models.priceBook');
        return [input, output]
          .map((price) => (typeof price === 'number' ? formatMoney(price, 'USD', locale) : '–'))
          .join(' / ');
      },
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
      key: 'active',
      header: t('field.status'),
      sort: 'active',
      cell: (row) => {
        const state = row.active ? 'active' : 'inactive';
        return <StatusBadge status={state} label={t(`activeState.${state}`)} />;
      },
    },
  ];
}
