import { Alert, Anchor, Button, SimpleGrid, Stack } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { useCount } from '../../api/records';
import { formatCompact, formatNumber, isoDay } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { useSignedIn } from '../../lib/session';
import { ErrorNote } from '../../ui/ErrorNote';
import { PageHeader } from '../../ui/PageHeader';
import { StatCard } from '../../ui/StatCard';
import { RateWarnings } from '../exchange-rates/RateWarnings';
import { StepList, useSteps } from '../first-steps/StepList';
import { Costs } from '../usage/Costs';
import { CACHE } from '../usage/provider';
import { useUsageSummary } from '../usage/queries';
import { addUp } from '../usage/sums';
import { LatestCalls } from './LatestCalls';
import { useLiveUsage } from './live';
import { Ranking } from './Ranking';
import { CHART_DAYS, SpendChart } from './SpendChart';

export function AdminDashboard() {
  const { t } = useTranslation();
  const locale = useLocale();
  useLiveUsage();
  const to = isoDay(new Date());
  const from = isoDay(new Date(), CHART_DAYS - 1);
  const today = useUsageSummary({ group: 'user', from: to, to });
  const providers = useUsageSummary({ group: 'provider', from: to, to });
  const days = useUsageSummary({ group: 'day', from, to });
  const users = useUsageSummary({ group: 'user', from, to });
  const models = useUsageSummary({ group: 'model', from, to });
  const totals = addUp(today.data?.items ?? []);
  const hits = addUp(providers.data?.items.filter((item) => item.key === CACHE) ?? []).requests;
  const activeUsers = new Set(today.data?.items.map((item) => item.key)).size;
  return (
    <>
      <PageHeader title={t('dashboard.title')} />
      <Stack gap="lg">
        <Notices />
        <ErrorNote
          error={!today.data && today.error}
          title={t('error.loadFailed')}
          onRetry={() => today.refetch()}
        />
        <SimpleGrid cols={{ base: 2, md: 4 }}>
          <StatCard
            label={t('dashboard.spendToday')}
            value={<Costs totals={totals} />}
            loading={!today.data}
          />
          <StatCard
            label={t('dashboard.requestsToday')}
            value={formatNumber(totals.requests, locale)}
            note={hits > 0 ? t('dashboard.fromCache', { number: formatNumber(hits, locale) }) : undefined}
            loading={!today.data}
          />
          <StatCard
            label={t('dashboard.tokensToday')}
            value={formatCompact(totals.promptTokens + totals.completionTokens, locale)}
            loading={!today.data}
          />
          <StatCard
            label={t('dashboard.activeUsersToday')}
            value={formatNumber(activeUsers, locale)}
            loading={!today.data}
          />
        </SimpleGrid>
        <SpendChart title={t('dashboard.spend30')} summary={days.data} />
        <SimpleGrid cols={{ base: 1, md: 2 }}>
          <Ranking title={t('dashboard.topUsers')} summary={users.data} />
          <Ranking title={t('dashboard.topModels')} summary={models.data} />
        </SimpleGrid>
        <LatestCalls title={t('dashboard.latest')} note={t('dashboard.live')} withUser />
      </Stack>
    </>
  );
}

/** What an administrator should do something about. */
function Notices() {
  const { t } = useTranslation();
  const session = useSignedIn();
  const admin = session.role === 'admin';
  const pending = useCount('users', "status = 'pending'");
  const steps = useSteps(admin);
  return (
    <>
      {admin && steps.loaded && (!steps.done.providerKey || !steps.done.model) && <StepList titled />}
      {!!pending.data && (
        <Alert
          color="yellow"
          icon={<IconAlertTriangle aria-hidden />}
          title={t('users.pendingCount', { count: pending.data })}
        >
          <Button
            component={Link}
            to="/users"
            search={{ status: 'pending' } as never}
            size="xs"
            variant="default"
          >
            {t('users.showPending')}
          </Button>
        </Alert>
      )}
      <RateWarnings
        enabled={admin}
        action={
          <Anchor component={Link} to="/exchange-rates" size="sm" c="inherit" underline="always">
            {t('dashboard.placeholderAction')}
          </Anchor>
        }
      />
    </>
  );
}
