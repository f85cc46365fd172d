import { Alert, Button, Group, Select, Stack, Text } from '@mantine/core';
import { useThrottledCallback } from '@mantine/hooks';
import { IconMail, IconWebhook } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { all, contains, quote } from '../../api/filter';
import { useRealtime } from '../../api/realtime';
import { useRecordList } from '../../api/records';
import type { MessageRecord } from '../../api/types';
import { formatDateTime, parseTime } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { useListSearch } from '../../lib/listSearch';
import { type Column, DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { ErrorNote } from '../../ui/ErrorNote';
import { notifyDone } from '../../ui/notify';
import { PageHeader } from '../../ui/PageHeader';
import { SearchBox } from '../../ui/SearchBox';
import { StatusBadge } from '../../ui/StatusBadge';
import { eventName } from '../webhooks/columns';
import { useOutboxActions, useOutboxStatus } from './queries';

const STATES = ['waiting', 'sent', 'dead'] as const;

/** What is not kept or not worth sending any more cannot be sent again. */
function mayResend(message: MessageRecord): boolean {
  const expires = parseTime(message.expires);
  if (expires && expires.getTime() <= Date.now()) return false;
  return message.state !== 'sent' || message.kind === 'webhook';
}

/** Mails and webhook deliveries on their way: what became of each, and a second try by hand. */
export function OutboxPage() {
  const { t } = useTranslation();
  const locale = useLocale();
  const queries = useQueryClient();
  const { search, set, setPage, setSort } = useListSearch();
  const status = useOutboxStatus();
  const { resend, tryMail } = useOutboxActions();
  const refresh = useThrottledCallback(() => {
    void queries.invalidateQueries({ queryKey: ['messages'] });
  }, 1000);
  useRealtime('messages', '*', () => refresh());
  const sort = search.sort ?? '-created';
  const filter = all(
    contains(['recipient', 'subject', 'event', 'last_error'], search.q),
    search.status && `state = ${quote(search.status)}`,
    search.group && `webhook_id = ${quote(search.group)}`,
  );
  const list = useRecordList('messages', { page: search.page, sort, filter });
  const columns: Column<MessageRecord>[] = [
    {
      key: 'recipient',
      header: t('outbox.recipient'),
      sort: 'recipient',
      cell: (row) => (
        <Group gap="xs" wrap="nowrap">
          {row.kind === 'mail' ? (
            <IconMail size={16} aria-label={t('outbox.kind.mail')} style={{ flexShrink: 0 }} />
          ) : (
            <IconWebhook size={16} aria-label={t('outbox.kind.webhook')} style={{ flexShrink: 0 }} />
          )}
          <Stack gap={0}>
            <Text size="sm" fw={600} style={{ overflowWrap: 'anywhere' }}>
              {row.recipient}
            </Text>
            <Text size="xs" c="dimmed">
              {row.subject || eventName(row.event, t)}
            </Text>
          </Stack>
        </Group>
      ),
    },
    {
      key: 'state',
      header: t('field.status'),
      sort: 'state',
      cell: (row) => (
        <Stack gap={0}>
          <StatusBadge
            status={row.state}
            label={t(`outbox.state.${row.state}`, { defaultValue: row.state })}
          />
          {row.state === 'waiting' && row.tries > 0 && (
            <Text size="xs" c="dimmed">
              {t('outbox.nextTry', { time: formatDateTime(row.next_try, locale) })}
            </Text>
          )}
        </Stack>
      ),
    },
    { key: 'tries', header: t('outbox.tries'), sort: 'tries', align: 'right', cell: (row) => row.tries },
    {
      key: 'error',
      header: t('outbox.lastError'),
      cell: (row) => (
        <Text size="xs" style={{ overflowWrap: 'anywhere' }} maw={320}>
          {row.last_error || '–'}
        </Text>
      ),
    },
    {
      key: 'time',
      header: t('field.time'),
      sort: 'created',
      cell: (row) => formatDateTime(row.created, locale),
    },
    {
      key: 'resend',
      header: '',
      align: 'right',
      cell: (row) =>
        mayResend(row) && (
          <Button
            size="compact-sm"
            variant="subtle"
            loading={resend.isPending && resend.variables === row.id}
            onClick={() => resend.mutate(row.id, { onSuccess: () => notifyDone(t('outbox.resent')) })}
            aria-label={`${t('outbox.resend')} ${row.recipient}`}
          >
            {t('outbox.resend')}
          </Button>
        ),
    },
  ];
  return (
    <>
      <PageHeader title={t('outbox.title')} lead={t('outbox.lead')}>
        <Button
          variant="default"
          leftSection={<IconMail size={16} aria-hidden />}
          loading={tryMail.isPending}
          onClick={() => tryMail.mutate(undefined, { onSuccess: () => notifyDone(t('outbox.tried')) })}
        >
          {t('outbox.tryMail')}
        </Button>
      </PageHeader>
      <Stack gap="md">
        {status.data && !status.data.mail && <Alert color="yellow">{t('outbox.noMail')}</Alert>}
        <ErrorNote error={resend.error ?? tryMail.error} />
        <Group gap="sm">
          <SearchBox value={search.q ?? ''} onSearch={(q) => set({ q })} />
          <Select
            aria-label={t('field.status')}
            placeholder={t('field.status')}
            clearable
            w={170}
            data={STATES.map((value) => ({ value, label: t(`outbox.state.${value}`) }))}
            value={search.status ?? null}
            onChange={(state) => set({ status: state ?? undefined })}
          />
          {search.group && (
            <Button variant="default" onClick={() => set({ group: undefined })}>
              {t('outbox.allMessages')}
            </Button>
          )}
        </Group>
        <div>
          <DataTable
            label={t('outbox.title')}
            columns={columns}
            query={list}
            sort={sort}
            onSort={setSort}
            onPage={setPage}
            filtered={filter !== ''}
            empty={<EmptyState title={t('outbox.empty')} hint={t('outbox.emptyHint')} />}
          />
        </div>
      </Stack>
    </>
  );
}
