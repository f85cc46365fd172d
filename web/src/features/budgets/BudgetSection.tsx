import { Button, Card, Group, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { formatDate, formatDateTime, formatMoney } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { BudgetBar } from '../../ui/BudgetBar';
import { ConfirmButton } from '../../ui/ConfirmButton';
import { type Column, DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { ErrorNote } from '../../ui/ErrorNote';
import { Money } from '../../ui/Money';
import { notifyDone } from '../../ui/notify';
import { IncreaseDialog } from './IncreaseDialog';
import {
  type BudgetIncrease,
  type Budgets,
  type BudgetWindow,
  type ClosedPeriod,
  type Owners,
  useBudgetActions,
  useBudgets,
  useClosedPeriods,
} from './queries';
import { WindowsDialog } from './WindowsDialog';
import { useBudgetWords } from './words';

interface Props {
  owners: Owners;
  id: string;
  mayChange: boolean;
}

interface SectionProps extends Props {
  /** Told when a dialog of the section opens or closes, where the section stands in one itself. */
  onDialog?: (open: boolean) => void;
}

/** The budgets of a user, tenant or key: how far each is used, what was added for a while, and earlier periods. */
export function BudgetSection({ owners, id, mayChange, onDialog }: SectionProps) {
  const { t } = useTranslation();
  const budgets = useBudgets(owners, id);
  const [open, setOpenAlone] = useState<'windows' | 'increase' | null>(null);
  const setOpen = (which: 'windows' | 'increase' | null) => {
    setOpenAlone(which);
    onDialog?.(which !== null);
  };
  const close = () => setOpen(null);
  if (budgets.error)
    return (
      <ErrorNote error={budgets.error} title={t('error.loadFailed')} onRetry={() => budgets.refetch()} />
    );
  if (!budgets.data) return null;
  const inForce = budgets.data.increases.filter((increase) => !increase.ended);
  return (
    <section>
      <Group justify="space-between" mb="xs">
        <Title order={2}>{t('budgets.title')}</Title>
        {mayChange && (
          <Group gap="xs">
            <Button variant="default" size="xs" onClick={() => setOpen('increase')}>
              {t('budgets.increase')}
            </Button>
            <Button variant="default" size="xs" onClick={() => setOpen('windows')}>
              {t('budgets.edit')}
            </Button>
          </Group>
        )}
      </Group>
      <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }}>
        {budgets.data.windows.map((window) => (
          <WindowCard key={window.name} window={window} currency={budgets.data.currency} />
        ))}
      </SimpleGrid>
      {inForce.length > 0 && (
        <Stack gap="xs" mt="sm">
          {inForce.map((increase) => (
            <IncreaseRow key={increase.id} {...{ increase, owners, id, mayChange }} budgets={budgets.data} />
          ))}
        </Stack>
      )}
      <History owners={owners} id={id} />
      {open === 'windows' && <WindowsDialog {...{ owners, id }} budgets={budgets.data} onClose={close} />}
      {open === 'increase' && <IncreaseDialog {...{ owners, id }} budgets={budgets.data} onClose={close} />}
    </section>
  );
}

export function WindowCard({ window, currency }: { window: BudgetWindow; currency: string }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const words = useBudgetWords();
  const money = (amount: number) => formatMoney(amount, currency, locale);
  const notes = [
    window.reserved > 0 && t('budgets.reserved', { amount: money(window.reserved) }),
    window.carried_over > 0 && t('budgets.carried', { amount: money(window.carried_over) }),
    window.increase > 0 && t('budgets.increased', { amount: money(window.increase) }),
    window.reset_date && t('budget.resets', { date: formatDateTime(window.reset_date, locale) }),
  ].filter((note): note is string => !!note);
  return (
    <Card withBorder padding="sm">
      <Group justify="space-between" gap="xs" mb={4}>
        <Text fw={600}>{words.name(window.name)}</Text>
        <Text size="xs" c="dimmed">
          {words.period(window.period, window.period_days)}
          {window.carry_over && ` · ${t('budgets.carriesOver')}`}
        </Text>
      </Group>
      {window.limit_in_force === null ? (
        <Text size="sm">{t('budgets.noLimit', { amount: money(window.used) })}</Text>
      ) : (
        <>
          <Text fz="lg" fw={600}>
            {t('budget.left', { amount: money(Math.max(0, window.remaining ?? 0)) })}
          </Text>
          <BudgetBar used={window.used} total={window.limit_in_force} currency={currency} />
        </>
      )}
      {notes.map((note) => (
        <Text key={note} size="xs" c="dimmed" mt={4}>
          {note}
        </Text>
      ))}
    </Card>
  );
}

interface IncreaseRowProps extends Props {
  increase: BudgetIncrease;
  budgets: Budgets;
}

function IncreaseRow({ increase, budgets, owners, id, mayChange }: IncreaseRowProps) {
  const { t } = useTranslation();
  const locale = useLocale();
  const words = useBudgetWords();
  const actions = useBudgetActions(owners, id);
  const text = t('budgets.increaseRow', {
    amount: formatMoney(increase.amount, budgets.currency, locale),
    name: words.name(increase.window),
    until: formatDateTime(increase.until, locale),
  });
  return (
    <Group justify="space-between" gap="xs">
      <Text size="sm">
        {text}
        {increase.note && (
          <Text span c="dimmed">
            {' '}
            – {increase.note}
          </Text>
        )}
      </Text>
      {mayChange && (
        <ConfirmButton
          size="compact-sm"
          question={{
            title: t('budgets.endTitle'),
            text,
            action: t('budgets.end'),
            danger: true,
            run: async () => {
              await actions.end(increase.id);
              notifyDone(t('common.saved'));
            },
          }}
        />
      )}
    </Group>
  );
}

function History({ owners, id }: { owners: Owners; id: string }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const words = useBudgetWords();
  const [page, setPage] = useState(1);
  const periods = useClosedPeriods(owners, id, page);
  // Nothing to show is nothing worth a table.
  if (periods.data?.totalItems === 0) return null;
  const columns: Column<ClosedPeriod & { id: string }>[] = [
    { key: 'window', header: t('field.budget'), cell: (row) => words.name(row.window) },
    { key: 'starts', header: t('budgets.starts'), cell: (row) => formatDate(row.starts, locale) },
    { key: 'ends', header: t('budgets.ends'), cell: (row) => formatDate(row.ends, locale) },
    {
      key: 'spent',
      header: t('budgets.spent'),
      align: 'right',
      cell: (row) => <Money value={row.spent} currency={row.currency} />,
    },
    {
      key: 'limit',
      header: t('budgets.limit'),
      align: 'right',
      cell: (row) => (row.limit === null ? '–' : <Money value={row.limit} currency={row.currency} />),
    },
    {
      key: 'carried',
      header: t('budgets.carriedHeader'),
      align: 'right',
      cell: (row) => (row.carried_over ? <Money value={row.carried_over} currency={row.currency} /> : '–'),
    },
  ];
  return (
    <Stack gap="xs" mt="md">
      <Title order={3} size="h4">
        {t('budgets.history')}
      </Title>
      <DataTable
        label={t('budgets.history')}
        columns={columns}
        query={periods}
        onPage={setPage}
        empty={<EmptyState title={t('budgets.noHistory')} />}
      />
    </Stack>
  );
}
