import { Button, Group, Select, SimpleGrid, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { useRecordList } from '../../api/records';
import type { UsageGroup, UsageLogRecord } from '../../api/types';
import { formatNumber } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { useListSearch } from '../../lib/listSearch';
import { useSignedIn } from '../../lib/session';
import { type Column, DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { PageHeader } from '../../ui/PageHeader';
import { StatCard } from '../../ui/StatCard';
import { useLiveUsage } from '../dashboard/live';
import { OwnBudget } from '../dashboard/OwnOverview';
import { Breakdown } from './Breakdown';
import { CallDetails } from './CallDetails';
import { Costs } from './Costs';
import { useUsageColumns } from './columns';
import { ExportMenu } from './ExportMenu';
import { periodOf, usageFilter } from './filters';
import { useUsageSummary } from './queries';
import { addUp } from './sums';
import { UserSelect } from './UserSelect';

const OWN_GROUPS = ['day', 'model'] as const;
const TENANT_GROUPS = ['day', 'user', 'model', 'provider'] as const;
const ADMIN_GROUPS = ['day', 'user', 'tenant', 'model', 'provider'] as const;

export function UsagePage() {
  const { t } = useTranslation();
  const locale = useLocale();
  const session = useSignedIn();
  const { search, set, setPage, setSort } = useListSearch();
  const [open, setOpen] = useState<UsageLogRecord | null>(null);
  useLiveUsage();
  const own = session.role === 'user';
  const period = periodOf(search, new Date());
  const sort = search.sort ?? '-created';
  const filter = usageFilter(search, period, own ? session.id : undefined);
  const calls = useRecordList('usage_logs', {
    page: search.page,
    sort,
    filter,
    expand: own ? undefined : 'user_id',
  });
  // By model, because the summary can be narrowed to a user but not to a model.
  const models = useUsageSummary({ group: 'model', ...period, userId: own ? undefined : search.user });
  const chosen = models.data?.items.filter((item) => !search.model || item.key === search.model) ?? [];
  const totals = addUp(chosen);
  const modelNames = [
    ...new Set([
      ...(models.data?.items.map((item) => item.key) ?? []),
      ...(search.model ? [search.model] : []),
    ]),
  ];
  const groups: readonly UsageGroup[] = own
    ? OWN_GROUPS
    : session.role === 'admin'
      ? ADMIN_GROUPS
      : TENANT_GROUPS;
  const group = groups.find((value) => value === search.group) ?? 'day';
  const columns = useUsageColumns(!own);
  const details: Column<UsageLogRecord> = {
    key: 'details',
    header: '',
    align: 'right',
    cell: (row) => (
      <Button size="compact-sm" variant="subtle" onClick={() => setOpen(row)}>
        {t('common.details')}
      </Button>
    ),
  };
  return (
    <>
      <PageHeader title={t('usage.title')}>
        <ExportMenu {...period} userId={own ? undefined : search.user} model={search.model} />
      </PageHeader>
      <Stack gap="lg">
        <Group gap="sm" align="flex-end">
          <TextInput
            type="date"
            label={t('field.from')}
            value={period.from}
            max={period.to}
            onChange={(event) => set({ from: event.currentTarget.value || undefined })}
          />
          <TextInput
            type="date"
            label={t('field.to')}
            value={period.to}
            min={period.from}
            onChange={(event) => set({ to: event.currentTarget.value || undefined })}
          />
          {!own && (
            <UserSelect
              label={t('field.user')}
              placeholder={t('common.all')}
              w={220}
              value={search.user}
              onChange={(user) => set({ user: user || undefined })}
            />
          )}
          <Select
            label={t('field.model')}
            placeholder={t('common.all')}
            searchable
            clearable
            w={200}
            data={modelNames}
            value={search.model ?? null}
            onChange={(model) => set({ model: model ?? undefined })}
          />
        </Group>
        <SimpleGrid cols={{ base: 2, md: 4 }}>
          <StatCard label={t('usage.total')} value={<Costs totals={totals} />} loading={!models.data} />
          <StatCard
            label={t('usage.calls')}
            value={formatNumber(totals.requests, locale)}
            loading={!models.data}
          />
          <StatCard
            label={t('field.promptTokens')}
            value={formatNumber(totals.promptTokens, locale)}
            loading={!models.data}
          />
          <StatCard
            label={t('field.completionTokens')}
            value={formatNumber(totals.completionTokens, locale)}
            loading={!models.data}
          />
        </SimpleGrid>
        {own && <OwnBudget />}
        <Breakdown
          groups={groups}
          group={group}
          onGroup={(value) => set({ group: value })}
          period={period}
          userId={own ? undefined : search.user}
        />
        <DataTable
          label={t('usage.title')}
          columns={[...columns, details]}
          query={calls}
          sort={sort}
          onSort={setSort}
          onPage={setPage}
          empty={<EmptyState title={t('usage.empty')} hint={t('usage.emptyHint')} />}
        />
      </Stack>
      <CallDetails call={open} onClose={() => setOpen(null)} />
    </>
  );
}
