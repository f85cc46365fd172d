import { Card, Skeleton, Text, Title } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { UsageSummary } from '../../api/types';
import { TimeChart } from '../../ui/TimeChart';
import { Costs } from '../usage/Costs';
import { addUp, fillDays } from '../usage/sums';

export const CHART_DAYS = 30;

export function SpendChart({ title, summary }: { title: string; summary: UsageSummary | undefined }) {
  const { t } = useTranslation();
  const totals = addUp(summary?.items ?? []);
  const currency = totals.costs[0]?.currency ?? 'EUR';
  return (
    <Card withBorder h="100%">
      <Title order={2}>{title}</Title>
      {summary ? (
        <Text component="div" fw={650} fz="xl" mb="sm">
          <Costs totals={totals} />
        </Text>
      ) : (
        <Skeleton height={30} my="sm" />
      )}
      <TimeChart
        days={fillDays(summary?.items ?? [], currency, new Date(), CHART_DAYS)}
        currency={currency}
        label={t('dashboard.chartLabel', { currency })}
      />
    </Card>
  );
}
