import { Card, Group, SegmentedControl, Table, Text, Title } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { UsageGroup } from '../../api/types';
import { formatDay, formatNumber } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { ErrorNote } from '../../ui/ErrorNote';
import { Money } from '../../ui/Money';
import { providerName } from './provider';
import { useUsageSummary } from './queries';

const MOST = 100;

interface BreakdownProps {
  groups: readonly UsageGroup[];
  group: UsageGroup;
  onGroup: (group: UsageGroup) => void;
  period: { from: string; to: string };
  userId?: string;
}

/** The cost of the period, summed by day, model and so on. */
export function Breakdown({ groups, group, onGroup, period, userId }: BreakdownProps) {
  const { t } = useTranslation();
  const locale = useLocale();
  const summary = useUsageSummary({ group, ...period, userId });
  const items = [...(summary.data?.items ?? [])];
  const shownKey = (item: (typeof items)[number]) => {
    if (group === 'day') return formatDay(item.key, locale);
    return group === 'provider' ? providerName(item.key, t) : item.label || item.key;
  };
  items.sort((a, b) => (group === 'day' ? b.key.localeCompare(a.key) : b.cost - a.cost));
  return (
    <section>
      <Group justify="space-between" mb="xs">
        <Title order={2}>{t('usage.breakdown')}</Title>
        <SegmentedControl
          size="xs"
          aria-label={t('field.groupBy')}
          data={groups.map((value) => ({ value, label: t(`usage.group.${value}`) }))}
          value={group}
          onChange={(value) => onGroup(value as UsageGroup)}
          style={{ maxWidth: '100%', overflowX: 'auto' }}
        />
      </Group>
      <ErrorNote
        error={!summary.data && summary.error}
        title={t('error.loadFailed')}
        onRetry={() => summary.refetch()}
      />
      <Card withBorder padding={0}>
        <Table.ScrollContainer minWidth={300} type="native" mah={340} tabIndex={0}>
          <Table aria-label={t('usage.breakdown')} verticalSpacing={6} horizontalSpacing="md" stickyHeader>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t(`usage.group.${group}`)}</Table.Th>
                <Table.Th ta="right">{t('field.requests')}</Table.Th>
                <Table.Th ta="right" visibleFrom="xs">
                  {t('field.promptTokens')}
                </Table.Th>
                <Table.Th ta="right" visibleFrom="xs">
                  {t('field.completionTokens')}
                </Table.Th>
                <Table.Th ta="right">{t('field.cost')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {items.slice(0, MOST).map((item) => (
                <Table.Tr key={`${item.key} ${item.currency}`}>
                  <Table.Td style={{ overflowWrap: 'anywhere' }}>{shownKey(item)}</Table.Td>
                  <Table.Td ta="right">{formatNumber(item.requests, locale)}</Table.Td>
                  <Table.Td ta="right" visibleFrom="xs">
                    {formatNumber(item.prompt_tokens, locale)}
                  </Table.Td>
                  <Table.Td ta="right" visibleFrom="xs">
                    {formatNumber(item.completion_tokens, locale)}
                  </Table.Td>
                  <Table.Td ta="right">
                    <Money value={item.cost} currency={item.currency} />
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
          {summary.data && items.length === 0 && (
            <Text size="sm" c="dimmed" p="md">
              {t('usage.empty')}
            </Text>
          )}
        </Table.ScrollContainer>
      </Card>
    </section>
  );
}
