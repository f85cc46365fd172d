import { Alert, Card, Center, Loader, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { IconClock } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import type { Statement, StatementFeeLine, StatementUsageLine } from '../../api/types';
import { formatDateTime, formatMoney, formatNumber } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { type Column, DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { ErrorNote } from '../../ui/ErrorNote';
import { Money } from '../../ui/Money';
import { StatCard } from '../../ui/StatCard';
import { useStatement } from './queries';

/** Lines of a kind that are shown at most: the browser has to draw them. */
const MOST = 200;

export function StatementView({ tenant, month }: { tenant: string; month: string }) {
  const { t } = useTranslation();
  const statement = useStatement(tenant, month);
  if (!statement.data)
    return statement.error ? (
      <ErrorNote error={statement.error} title={t('error.loadFailed')} onRetry={() => statement.refetch()} />
    ) : (
      <Center py="xl">
        <Loader aria-label={t('common.loading')} />
      </Center>
    );
  return <Lines statement={statement.data} />;
}

function Lines({ statement }: { statement: Statement }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const { totals } = statement;
  const others = Object.entries(totals.other_currencies);
  return (
    <Stack gap="lg">
      {statement.closed ? (
        <Text size="sm" c="dimmed">
          {t('statements.closed', { time: formatDateTime(statement.closed, locale) })}
        </Text>
      ) : (
        <Alert color="blue" icon={<IconClock aria-hidden />} title={t('statements.openTitle')}>
          {t('statements.openText', { zone: statement.time_zone || 'UTC' })}
        </Alert>
      )}
      <SimpleGrid cols={{ base: 2, md: 4 }}>
        <StatCard
          label={t('statements.total')}
          value={<Money value={totals.total} currency={totals.currency} />}
        />
        <StatCard
          label={t('statements.usage')}
          value={<Money value={totals.usage} currency={totals.currency} />}
        />
        <StatCard
          label={t('statements.fees')}
          value={<Money value={totals.fees} currency={totals.currency} />}
        />
        <StatCard label={t('usage.calls')} value={formatNumber(totals.requests, locale)} />
      </SimpleGrid>
      {others.length > 0 && (
        <Text size="sm">
          {t('statements.other')}{' '}
          {others.map(([currency, amount]) => formatMoney(amount, currency, locale)).join(', ')}
        </Text>
      )}
      <UsageLines lines={statement.usage} />
      <FeeLines lines={statement.fees} />
    </Stack>
  );
}

function UsageLines({ lines }: { lines: StatementUsageLine[] }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const count = (value: number) => formatNumber(value, locale);
  const columns: Column<StatementUsageLine>[] = [
    { key: 'user', header: t('field.user'), cell: (line) => line.user },
    {
      key: 'model',
      header: t('field.model'),
      cell: (line) => (
        <Stack gap={0}>
          <Text size="sm">{line.model}</Text>
          <Text size="xs" c="dimmed">
            {[line.provider, line.price_version].filter(Boolean).join(' · ')}
          </Text>
        </Stack>
      ),
    },
    {
      key: 'requests',
      header: t('field.requests'),
      align: 'right',
      cell: (line) => count(line.requests),
    },
    {
      key: 'input',
      header: t('field.promptTokens'),
      align: 'right',
      cell: (line) => count(line.prompt_tokens),
    },
    {
      key: 'output',
      header: t('field.completionTokens'),
      align: 'right',
      cell: (line) => count(line.completion_tokens),
    },
    {
      key: 'amount',
      header: t('field.amount'),
      align: 'right',
      cell: (line) => <Money value={line.amount} currency={line.currency} />,
    },
  ];
  return (
    <Section title={t('statements.usage')}>
      <Shown
        label={t('statements.usage')}
        lines={lines}
        columns={columns}
        id={(line) => `${line.user_id} ${line.model} ${line.provider} ${line.price_version} ${line.currency}`}
        empty={t('statements.noUsage')}
      />
    </Section>
  );
}

function FeeLines({ lines }: { lines: StatementFeeLine[] }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const columns: Column<StatementFeeLine>[] = [
    { key: 'user', header: t('field.user'), cell: (line) => line.user },
    { key: 'product', header: t('field.product'), cell: (line) => line.product },
    {
      key: 'amount',
      header: t('field.amount'),
      align: 'right',
      cell: (line) => (
        <Stack gap={0}>
          <Money value={line.amount} currency={line.currency} />
          {line.currency !== line.price_currency && (
            <Text size="xs" c="dimmed">
              {t('statements.perPlan', { price: formatMoney(line.price, line.price_currency, locale) })}
            </Text>
          )}
        </Stack>
      ),
    },
  ];
  return (
    <Section title={t('statements.fees')} hint={t('statements.feesHint')}>
      <Shown
        label={t('statements.fees')}
        lines={lines}
        columns={columns}
        id={(line) => line.user_id}
        empty={t('statements.noFees')}
      />
    </Section>
  );
}

function Section({ title, hint, children }: { title: string; hint?: string; children: React.ReactNode }) {
  return (
    <section>
      <Title order={2} mb="xs">
        {title}
      </Title>
      {hint && (
        <Text size="sm" c="dimmed" mb="xs">
          {hint}
        </Text>
      )}
      {children}
    </section>
  );
}

interface ShownProps<T> {
  label: string;
  lines: T[];
  columns: Column<T>[];
  id: (line: T) => string;
  empty: string;
}

function Shown<T>({ label, lines, columns, id, empty }: ShownProps<T>) {
  const { t } = useTranslation();
  const shown = lines.slice(0, MOST).map((line) => ({ ...line, id: id(line) }));
  const data = { items: shown, totalItems: shown.length, totalPages: 1, page: 1 };
  return (
    <Stack gap="xs">
      <DataTable
        label={label}
        columns={columns}
        query={{ data, error: null, isPending: false, refetch: () => undefined }}
        empty={
          <Card>
            <EmptyState title={empty} />
          </Card>
        }
      />
      {lines.length > MOST && (
        <Text size="sm" c="dimmed">
          {t('statements.more', { shown: MOST, all: lines.length })}
        </Text>
      )}
    </Stack>
  );
}
