import { Badge, Group, Stack, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { ProductRecord } from '../../api/types';
import { formatMoney } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import type { Column } from '../../ui/DataTable';
import { Money } from '../../ui/Money';
import { StatusBadge } from '../../ui/StatusBadge';
import { useBudgetWords } from '../budgets/words';

/** How many model names a cell shows before it counts the rest. */
const SHOWN = 3;

export function useProductColumns(): Column<ProductRecord>[] {
  const { t } = useTranslation();
  const locale = useLocale();
  const words = useBudgetWords();
  return [
    {
      key: 'name',
      header: t('field.name'),
      sort: 'name',
      cell: (row) => (
        <Stack gap={0}>
          <Text size="sm" fw={600}>
            {row.name}
          </Text>
          {row.description && (
            <Text size="xs" c="dimmed" lineClamp={2}>
              {row.description}
            </Text>
          )}
        </Stack>
      ),
    },
    {
      key: 'price',
      header: t('field.price'),
      sort: 'price',
      align: 'right',
      cell: (row) => <Money value={row.price} currency={row.currency} />,
    },
    {
      key: 'budget',
      header: t('field.budgetIncluded'),
      sort: 'budget_included',
      cell: (row) => (
        <Stack gap={0}>
          <Text size="sm">{formatMoney(row.budget_included, row.currency, locale)}</Text>
          <Text size="xs" c="dimmed">
            {words.period(row.budget_period || 'days', row.budget_period_days || 30)}
          </Text>
          {(row.budget_windows ?? []).map((window) => (
            <Text key={window.name} size="xs" c="dimmed">
              {`${window.name}: ${formatMoney(window.limit, row.currency, locale)}, `}
              {words.period(window.period ?? 'total', window.period_days ?? 0)}
            </Text>
          ))}
        </Stack>
      ),
    },
    {
      key: 'models',
      header: t('field.models'),
      cell: (row) => {
        const models = row.models ?? [];
        if (models.length === 0) return t('products.allModels');
        return (
          <Group gap={4}>
            {models.slice(0, SHOWN).map((model) => (
              <Badge key={model} variant="default" tt="none" fw={500}>
                {model}
              </Badge>
            ))}
            {models.length > SHOWN && <Text size="xs">+{models.length - SHOWN}</Text>}
          </Group>
        );
      },
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
