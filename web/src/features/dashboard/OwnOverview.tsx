import { Button, Card, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { IconMessage } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { quote } from '../../api/filter';
import { useRealtime } from '../../api/realtime';
import { useRecord } from '../../api/records';
import { formatDate, formatMoney, isoDay } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { useSignedIn } from '../../lib/session';
import { BudgetBar } from '../../ui/BudgetBar';
import { EmptyState } from '../../ui/EmptyState';
import { PageHeader } from '../../ui/PageHeader';
import { WindowCard } from '../budgets/BudgetSection';
import { Forecast } from '../budgets/Forecast';
import { useBudgets } from '../budgets/queries';
import { useUsageSummary } from '../usage/queries';
import { LatestCalls } from './LatestCalls';
import { useLiveUsage } from './live';
import { CHART_DAYS, SpendChart } from './SpendChart';

/** What a user sees first: what is left, and where it went. */
export function OwnOverview() {
  const { t } = useTranslation();
  const session = useSignedIn();
  useLiveUsage();
  const days = useUsageSummary({
    group: 'day',
    from: isoDay(new Date(), CHART_DAYS - 1),
    to: isoDay(new Date()),
  });
  return (
    <>
      <PageHeader title={t('dashboard.hello', { name: session.name })}>
        <Button component={Link} to="/chat" leftSection={<IconMessage size={18} aria-hidden />}>
          {t('nav.chat')}
        </Button>
      </PageHeader>
      <Stack gap="lg">
        <SimpleGrid cols={{ base: 1, md: 2 }}>
          <OwnBudget />
          <SpendChart title={t('dashboard.mySpend')} summary={days.data} />
        </SimpleGrid>
        <LatestCalls
          title={t('dashboard.myLatest')}
          note={t('dashboard.live')}
          filter={`user_id = ${quote(session.id)}`}
          withUser={false}
        />
      </Stack>
    </>
  );
}

export function OwnBudget() {
  const { t } = useTranslation();
  const locale = useLocale();
  const session = useSignedIn();
  const queries = useQueryClient();
  const user = useRecord('users', session.superuser ? undefined : session.id);
  useRealtime(
    'users',
    session.superuser ? undefined : session.id,
    () => void queries.invalidateQueries({ queryKey: ['users'] }),
  );
  const budgets = useBudgets('users', session.superuser ? undefined : session.id);
  if (!user.data) return null;
  const { budget_total, budget_used, budget_remaining, budget_currency, budget_reset_date } = user.data;
  return (
    <Card withBorder>
      <Title order={2} mb="xs">
        {t('dashboard.myBudget')}
      </Title>
      {budgets.data && budgets.data.windows.length > 1 ? (
        <Stack gap="xs">
          {budgets.data.windows.map((window) => (
            <WindowCard key={window.name} window={window} currency={budgets.data.currency} />
          ))}
          <Forecast collection="users" owner={session.id} />
        </Stack>
      ) : budget_total > 0 ? (
        <Stack gap="xs">
          <Text fz="1.75rem" fw={650}>
            {t('budget.left', {
              amount: formatMoney(Math.max(0, budget_remaining), budget_currency, locale),
            })}
          </Text>
          <BudgetBar used={budget_used} total={budget_total} currency={budget_currency} />
          <Forecast collection="users" owner={session.id} />
          {budget_reset_date && (
            <Text size="sm" c="dimmed">
              {t('budget.resets', { date: formatDate(budget_reset_date, locale) })}
            </Text>
          )}
        </Stack>
      ) : (
        <EmptyState title={t('budget.none')} hint={t('budget.noneHint')} />
      )}
    </Card>
  );
}
