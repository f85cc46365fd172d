import { Card, Group, Stack, Text, Title } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { UsageSummary } from '../../api/types';
import { formatNumber } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { Money } from '../../ui/Money';

const LENGTH = 5;

export function Ranking({ title, summary }: { title: string; summary: UsageSummary | undefined }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const items = [...(summary?.items ?? [])].sort((a, b) => b.cost - a.cost).slice(0, LENGTH);
  return (
    <Card withBorder h="100%">
      <Title order={2} mb="sm">
        {title}
      </Title>
      {summary && items.length === 0 && (
        <Text size="sm" c="dimmed">
          {t('dashboard.noCalls')}
        </Text>
      )}
      <Stack gap="xs" component="ol" p={0} m={0} style={{ listStyle: 'none' }}>
        {items.map((item) => (
          <Group
            key={`${item.key} ${item.currency}`}
            component="li"
            justify="space-between"
            wrap="nowrap"
            gap="md"
          >
            <div style={{ minWidth: 0 }}>
              <Text size="sm" truncate>
                {item.label || item.key}
              </Text>
              <Text size="xs" c="dimmed">
                {t('dashboard.requests', {
                  count: item.requests,
                  number: formatNumber(item.requests, locale),
                })}
              </Text>
            </div>
            <Text size="sm" fw={600}>
              <Money value={item.cost} currency={item.currency} />
            </Text>
          </Group>
        ))}
      </Stack>
    </Card>
  );
}
