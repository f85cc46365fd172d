import { Button, Code, Group, Modal, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { contains } from '../../api/filter';
import { useRecordList } from '../../api/records';
import type { AuditLogRecord } from '../../api/types';
import { formatDateTime } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { useListSearch } from '../../lib/listSearch';
import type { NavItem } from '../../nav';
import { type Column, DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { PageHeader } from '../../ui/PageHeader';
import { SearchBox } from '../../ui/SearchBox';

const COLLECTION_LABELS: Record<string, NavItem['label'] | undefined> = {
  users: 'users',
  tenants: 'tenants',
  products: 'products',
  provider_keys: 'providerKeys',
  models: 'models',
  api_keys: 'keys',
  billing_keys: 'billingKeys',
  exchange_rates: 'exchangeRates',
  webhooks: 'webhooks',
  messages: 'outbox',
  price_lists: 'priceBook',
};

export function AuditPage() {
  const { t } = useTranslation();
  const locale = useLocale();
  const { search, set, setPage, setSort } = useListSearch();
  const [open, setOpen] = useState<AuditLogRecord | null>(null);
  const sort = search.sort ?? '-created';
  const filter = contains(['action', 'actor_email', 'record_id', 'collection'], search.q);
  const entries = useRecordList('audit_logs', { page: search.page, sort, filter });
  // An action without a text of its own is shown as the server names it.
  const actionName = (action: string) =>
    t(`audit.actionName.${action as 'create'}`, { defaultValue: action });
  const collectionName = (collection: string) => {
    const label = COLLECTION_LABELS[collection];
    return label ? t(`nav.${label}`) : collection;
  };
  const columns: Column<AuditLogRecord>[] = [
    {
      key: 'time',
      header: t('field.time'),
      sort: 'created',
      cell: (row) => formatDateTime(row.created, locale),
    },
    {
      key: 'actor',
      header: t('field.actor'),
      sort: 'actor_email',
      cell: (row) => row.actor_email || row.actor_id || '–',
    },
    { key: 'action', header: t('field.action'), sort: 'action', cell: (row) => actionName(row.action) },
    {
      key: 'record',
      header: t('field.record'),
      cell: (row) => (
        <Stack gap={0}>
          <Text size="sm">{collectionName(row.collection)}</Text>
          <Text size="xs" c="dimmed" ff="monospace">
            {row.record_id}
          </Text>
        </Stack>
      ),
    },
    {
      key: 'details',
      header: '',
      align: 'right',
      cell: (row) => (
        <Button size="compact-sm" variant="subtle" onClick={() => setOpen(row)}>
          {t('common.details')}
        </Button>
      ),
    },
  ];
  return (
    <>
      <PageHeader title={t('audit.title')} lead={t('audit.lead')} />
      <Stack gap="md">
        <Group>
          <SearchBox value={search.q ?? ''} label={t('audit.search')} onSearch={(q) => set({ q })} />
        </Group>
        <div>
          <DataTable
            label={t('audit.title')}
            columns={columns}
            query={entries}
            sort={sort}
            onSort={setSort}
            onPage={setPage}
            filtered={filter !== ''}
            empty={<EmptyState title={t('audit.empty')} hint={t('audit.emptyHint')} />}
          />
        </div>
      </Stack>
      <Modal
        opened={!!open}
        onClose={() => setOpen(null)}
        closeButtonProps={{ 'aria-label': t('common.close') }}
        size="lg"
        title={
          open &&
          t('audit.detailsTitle', {
            action: actionName(open.action),
            time: formatDateTime(open.created, locale),
          })
        }
      >
        <Code block tabIndex={0}>
          {JSON.stringify(open?.changes ?? null, null, 2)}
        </Code>
      </Modal>
    </>
  );
}
