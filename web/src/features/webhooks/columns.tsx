import { Code, Text } from '@mantine/core';
import type { TFunction } from 'i18next';
import { useTranslation } from 'react-i18next';
import { useOptions } from '../../api/records';
import type { WebhookRecord } from '../../api/types';
import type { Column } from '../../ui/DataTable';
import { StatusBadge } from '../../ui/StatusBadge';

export function useWebhookColumns(): Column<WebhookRecord>[] {
  const { t } = useTranslation();
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
      key: 'url',
      header: t('field.address'),
      cell: (row) => (
        <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
          {row.url}
        </Text>
      ),
    },
    { key: 'secret', header: t('field.secret'), cell: (row) => <Code>{row.secret}</Code> },
    {
      key: 'events',
      header: t('field.events'),
      cell: (row) => row.events?.map((event) => eventName(event, t)).join(', ') || t('common.all'),
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

/** An event in the reader's language; one without a text of its own as the server names it. */
export function eventName(event: string, t: TFunction): string {
  const key = event.replaceAll('.', '_');
  return t(`outbox.event.${key as 'budget_notice'}`, { defaultValue: event });
}
