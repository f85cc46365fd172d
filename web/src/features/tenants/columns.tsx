import { Anchor, Stack, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import type { TenantRecord } from '../../api/types';
import type { Column } from '../../ui/DataTable';
import { Money } from '../../ui/Money';
import { StatusBadge } from '../../ui/StatusBadge';
import { BudgetOf } from '../budgets/BudgetOf';

export function useTenantColumns(): Column<TenantRecord>[] {
  const { t } = useTranslation();
  return [
    {
      key: 'name',
      header: t('field.name'),
      sort: 'name',
      cell: (row) => (
        <Stack gap={0}>
          <Anchor component={Link} to={`/tenants/${row.id}` as never} size="sm" fw={600}>
            {row.name}
          </Anchor>
          <Text size="xs" c="dimmed">
            {row.domain || row.slug}
          </Text>
        </Stack>
      ),
    },
    { key: 'slug', header: t('field.slug'), sort: 'slug', cell: (row) => row.slug },
    {
      key: 'type',
      header: t('field.type'),
      sort: 'type',
      cell: (row) => t(`tenantType.${row.type}`, { defaultValue: row.type }),
    },
    {
      key: 'budget',
      header: t('field.budget'),
      cell: (row) =>
        row.budget_total > 0 ? (
          <BudgetOf
            collection="tenants"
            owner={row.id}
            used={row.budget_used}
            total={row.budget_total}
            currency={row.currency}
          />
        ) : (
          <Text size="sm" c="dimmed">
            {t('common.noLimit')} (<Money value={row.budget_used ?? 0} currency={row.currency} />)
          </Text>
        ),
    },
    {
      key: 'status',
      header: t('field.status'),
      sort: 'status',
      cell: (row) => (
        <StatusBadge
          status={row.status}
          label={t(`tenantStatus.${row.status}`, { defaultValue: row.status })}
        />
      ),
    },
    {
      key: 'signup',
      header: t('field.signupEnabled'),
      cell: (row) => (row.signup_enabled ? t('common.yes') : t('common.no')),
    },
  ];
}
