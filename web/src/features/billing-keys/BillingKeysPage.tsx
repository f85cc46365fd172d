import { Badge, Box, Button, Code, Group, Text } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { useOptions } from '../../api/records';
import { formatDate, formatNumber } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { useConfirm } from '../../ui/confirm';
import { type Column, DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { notifyDone } from '../../ui/notify';
import { PageHeader } from '../../ui/PageHeader';
import { RowMenu } from '../../ui/RowMenu';
import { SecretOnce } from '../../ui/SecretOnce';
import { StatusBadge } from '../../ui/StatusBadge';
import { BillingKeyForm } from './form';
import { type BillingKey, type CreatedBillingKey, useBillingKeyActions, useBillingKeys } from './queries';

/** The keys of other programs at the Billing API, to make and revoke them. */
export function BillingKeysPage() {
  const { t } = useTranslation();
  const [page, setPage] = useState(1);
  const [creating, setCreating] = useState(false);
  const [shown, setShown] = useState<CreatedBillingKey | null>(null);
  const [ask, dialog] = useConfirm();
  const actions = useBillingKeyActions();
  const keys = useBillingKeys(page);
  const askRevoke = (key: BillingKey) =>
    ask({
      title: t('keys.revokeTitle', { name: key.name }),
      text: t('billingKeys.revokeText', { name: key.name }),
      action: t('keys.revoke'),
      danger: true,
      run: async () => {
        await actions.revoke(key.id);
        notifyDone(t('keys.revoked'));
      },
    });
  const menu: Column<BillingKey> = {
    key: 'menu',
    header: '',
    align: 'right',
    cell: (key) =>
      key.status === 'active' && (
        <RowMenu
          name={key.name}
          actions={[{ label: t('keys.revoke'), onClick: () => askRevoke(key), danger: true }]}
        />
      ),
  };
  return (
    <>
      <PageHeader title={t('billingKeys.title')} lead={t('billingKeys.lead')}>
        <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setCreating(true)}>
          {t('billingKeys.new')}
        </Button>
      </PageHeader>
      <DataTable
        label={t('billingKeys.title')}
        columns={[...useColumns(), menu]}
        query={keys}
        onPage={setPage}
        empty={<EmptyState title={t('billingKeys.empty')} hint={t('billingKeys.emptyHint')} />}
      />
      {creating && <BillingKeyForm onClose={() => setCreating(false)} onKey={setShown} />}
      <SecretOnce
        shown={
          shown && {
            title: t('billingKeys.createdTitle', { name: shown.name }),
            text: t('keys.createdText'),
            secrets: [{ label: t('billingKeys.key'), value: shown.key }],
          }
        }
        onClose={() => setShown(null)}
      />
      {dialog}
    </>
  );
}

function useColumns(): Column<BillingKey>[] {
  const { t } = useTranslation();
  const locale = useLocale();
  const tenants = useOptions('tenants');
  const tenantName = (id: string) => tenants.data?.find((tenant) => tenant.id === id)?.name ?? id;
  return [
    {
      key: 'name',
      header: t('field.name'),
      cell: (row) => (
        <Text size="sm" fw={600} style={{ overflowWrap: 'anywhere' }}>
          {row.name}
        </Text>
      ),
    },
    {
      key: 'key',
      header: t('field.key'),
      cell: (row) => <Code style={{ whiteSpace: 'nowrap' }}>{`…${row.last4}`}</Code>,
    },
    {
      key: 'scopes',
      header: t('billingKeys.scopes'),
      cell: (row) => (
        <Group gap={4}>
          {row.scopes.map((scope) => (
            <Badge key={scope} variant="light" size="sm" tt="none">
              {t(`billingKeys.scope.${scope}`)}
            </Badge>
          ))}
        </Group>
      ),
    },
    {
      key: 'tenant',
      header: t('field.tenant'),
      cell: (row) => (row.tenant_id ? tenantName(row.tenant_id) : t('providerKeys.allTenants')),
    },
    {
      key: 'rate',
      header: t('billingKeys.perMinute'),
      align: 'right',
      cell: (row) => formatNumber(row.requests_per_minute, locale),
    },
    {
      key: 'created',
      header: t('billingKeys.created'),
      cell: (row) => formatDate(row.created, locale),
    },
    {
      key: 'status',
      header: t('field.status'),
      cell: (row) => (
        // In a full table the badge would give way first and be cut.
        <Box w="max-content">
          <StatusBadge
            status={row.status}
            label={t(`keyStatus.${row.status}`, { defaultValue: row.status })}
          />
        </Box>
      ),
    },
  ];
}
