import { Anchor, Button, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { useRealtime } from '../../api/realtime';
import { useRecord } from '../../api/records';
import { useSignedIn } from '../../lib/session';
import { ErrorNote } from '../../ui/ErrorNote';
import { PageHeader } from '../../ui/PageHeader';
import { StatusBadge } from '../../ui/StatusBadge';
import { BudgetSection } from '../budgets/BudgetSection';
import { TenantForm } from './form';

/** A tenant with its budgets, which hold for all of its users together. */
export function TenantDetails({ id }: { id: string }) {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const session = useSignedIn();
  const [editing, setEditing] = useState(false);
  const tenant = useRecord('tenants', id);
  useRealtime('tenants', id, () => {
    for (const what of ['one', 'budgets'])
      void queries.invalidateQueries({ queryKey: ['tenants', what, id] });
  });
  if (tenant.error)
    return <ErrorNote error={tenant.error} title={t('error.loadFailed')} onRetry={() => tenant.refetch()} />;
  if (!tenant.data) return null;
  const admin = session.superuser || session.role === 'admin';
  return (
    <>
      {admin && (
        <Anchor component={Link} to="/tenants" size="sm">
          {t('nav.tenants')}
        </Anchor>
      )}
      <PageHeader title={tenant.data.name} lead={tenant.data.domain || tenant.data.slug}>
        <Button component={Link} to="/users" search={{ tenant: id } as never} variant="default">
          {t('tenants.usersOf')}
        </Button>
        {admin && (
          <Button variant="default" onClick={() => setEditing(true)}>
            {t('common.edit')}
          </Button>
        )}
      </PageHeader>
      <Stack gap="lg">
        <div>
          <StatusBadge
            status={tenant.data.status}
            label={t(`tenantStatus.${tenant.data.status}`, { defaultValue: tenant.data.status })}
          />
          <Text size="sm" c="dimmed" mt="xs">
            {t('budgets.tenantHint', { zone: tenant.data.time_zone })}
          </Text>
          {!!tenant.data.prompt_log_days && (
            <Text size="sm" mt="xs">
              {t('prompts.kept', { count: tenant.data.prompt_log_days })}
            </Text>
          )}
        </div>
        <BudgetSection owners="tenants" id={id} mayChange={admin} />
      </Stack>
      {editing && <TenantForm record={tenant.data} onClose={() => setEditing(false)} />}
    </>
  );
}
