import { Button, Group, Select } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconDownload } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { download } from '../../api/download';
import { errorMessage } from '../../api/errors';
import { useLocale } from '../../lib/i18n';
import { useListSearch } from '../../lib/listSearch';
import { useSignedIn } from '../../lib/session';
import { EmptyState } from '../../ui/EmptyState';
import { ErrorNote } from '../../ui/ErrorNote';
import { PageHeader } from '../../ui/PageHeader';
import { RecordSelect } from '../../ui/selects';
import { formatMonth } from './month';
import { useMonths } from './queries';
import { StatementView } from './StatementView';

/** A tenant's months: administrators choose the tenant, its own administrators have theirs. */
export function StatementsPage() {
  const { t } = useTranslation();
  const locale = useLocale();
  const session = useSignedIn();
  const { search, set } = useListSearch();
  const admin = session.role === 'admin';
  const tenant = (admin ? (search.tenant ?? session.tenantId) : session.tenantId) || '';
  const months = useMonths(tenant);
  const items = months.data?.items ?? [];
  const month = items.find((item) => item.month === search.from)?.month ?? items[0]?.month;
  const save = useMutation({
    mutationFn: (kind: 'csv' | 'json') =>
      download(`/api/statements/${tenant}/${month}.${kind}`, `statement-${month}.${kind}`),
    onError: (error) => notifications.show({ color: 'red', message: errorMessage(error, t) }),
  });
  return (
    <>
      <PageHeader title={t('statements.title')} lead={t('statements.lead')}>
        {(['csv', 'json'] as const).map((kind) => (
          <Button
            key={kind}
            variant="default"
            leftSection={<IconDownload size={18} aria-hidden />}
            disabled={!month}
            loading={save.isPending && save.variables === kind}
            onClick={() => save.mutate(kind)}
          >
            {kind.toUpperCase()}
          </Button>
        ))}
      </PageHeader>
      <Group gap="sm" align="flex-end" mb="lg">
        {admin && (
          <RecordSelect
            collection="tenants"
            label={t('field.tenant')}
            placeholder={t('statements.chooseTenant')}
            w={240}
            value={tenant}
            onChange={(id) => set({ tenant: id || undefined, from: undefined })}
          />
        )}
        <Select
          label={t('statements.month')}
          w={240}
          allowDeselect={false}
          disabled={items.length === 0}
          data={items.map((item) => ({
            value: item.month,
            label: item.closed
              ? formatMonth(item.month, locale)
              : `${formatMonth(item.month, locale)} (${t('statements.open')})`,
          }))}
          value={month ?? null}
          onChange={(value) => set({ from: value ?? undefined })}
        />
      </Group>
      <ErrorNote
        error={!months.data && months.error}
        title={t('error.loadFailed')}
        onRetry={() => months.refetch()}
      />
      {tenant === '' ? (
        <EmptyState title={t('statements.chooseTenant')} hint={t('statements.chooseTenantHint')} />
      ) : (
        month && <StatementView tenant={tenant} month={month} />
      )}
    </>
  );
}
