import { Code, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { useOptions } from '../../api/records';
import type { ProviderKeyRecord } from '../../api/types';
import type { Column } from '../../ui/DataTable';
import { StatusBadge } from '../../ui/StatusBadge';
import { useProviders } from './queries';

export function useProviderKeyColumns(): Column<ProviderKeyRecord>[] {
  const { t } = useTranslation();
  const providers = useProviders();
  const tenants = useOptions('tenants');
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
    { key: 'address', header: t('field.baseUrl'), cell: (row) => row.base_url || row.region || '–' },
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
