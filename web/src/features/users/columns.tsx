import { Anchor, Button, Group, Stack, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import type { UserRecord } from '../../api/types';
import type { Column } from '../../ui/DataTable';
import { StatusBadge } from '../../ui/StatusBadge';
import { BudgetOf } from '../budgets/BudgetOf';

export function useUserColumns(onApprove: (user: UserRecord) => void): Column<UserRecord>[] {
  const { t } = useTranslation();
  return [
    {
      key: 'name',
      header: t('field.name'),
      sort: 'name',
      cell: (row) => (
        <Stack gap={0}>
          <Anchor component={Link} to={`/users/${row.id}` as never} size="sm" fw={600}>
            {row.name || row.email}
          </Anchor>
          <Text size="xs" c="dimmed">
            {row.email}
          </Text>
        </Stack>
      ),
    },
    { key: 'tenant', header: t('field.tenant'), cell: (row) => row.expand?.tenant_id?.name ?? '–' },
    { key: 'product', header: t('field.product'), cell: (row) => row.expand?.product_id?.name ?? '–' },
    {
      key: 'role',
      header: t('field.role'),
      sort: 'role',
      cell: (row) => t(`role.${row.role}`, { defaultValue: row.role }),
    },
    {
      key: 'budget',
      header: t('field.budget'),
      sort: 'budget_used',
      cell: (row) =>
        row.budget_total > 0 ? (
          <BudgetOf
            collection="users"
            owner={row.id}
            used={row.budget_used}
            total={row.budget_total}
            currency={row.budget_currency}
          />
        ) : (
          '–'
        ),
    },
    {
      key: 'status',
      header: t('field.status'),
      sort: 'status',
      cell: (row) => (
        <Group gap="xs">
          <StatusBadge
            status={row.status}
            label={t(`userStatus.${row.status}`, { defaultValue: row.status })}
          />
          {row.status === 'pending' && (
            <Button
              size="compact-xs"
              onClick={() => onApprove(row)}
              aria-label={`${t('users.approve')} ${row.name || row.email}`}
            >
              {t('users.approve')}
            </Button>
          )}
        </Group>
      ),
    },
  ];
}
