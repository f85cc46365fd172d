import { Card, Group, Text, Title } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { useRecordList } from '../../api/records';
import { DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { useUsageColumns } from '../usage/columns';

const LENGTH = 10;

export function LatestCalls({
  title,
  filter,
  withUser,
  note,
}: {
  title: string;
  filter?: string;
  withUser: boolean;
  note?: string;
}) {
  const { t } = useTranslation();
  const columns = useUsageColumns(withUser);
  const calls = useRecordList('usage_logs', {
    perPage: LENGTH,
    sort: '-created',
    filter,
    expand: withUser ? 'user_id' : undefined,
  });
  return (
    <section>
      <Group justify="space-between" align="baseline" mb="xs">
        <Title order={2}>{title}</Title>
        {note && (
          <Text size="xs" c="dimmed">
            {note}
          </Text>
        )}
      </Group>
      {/* The order is fixed: the latest first. */}
      <DataTable
        label={title}
        columns={columns}
        query={calls}
        empty={
          <Card>
            <EmptyState title={t('dashboard.noCalls')} hint={t('dashboard.noCallsHint')} />
          </Card>
        }
      />
    </section>
  );
}
