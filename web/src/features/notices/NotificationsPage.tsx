import { Button, Group, SegmentedControl, Stack, Text } from '@mantine/core';
import { IconChecks } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import { useRecordList } from '../../api/records';
import type { NotificationRecord } from '../../api/types';
import { formatDateTime } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { useListSearch } from '../../lib/listSearch';
import { useSignedIn } from '../../lib/session';
import { type Column, DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { ErrorNote } from '../../ui/ErrorNote';
import { PageHeader } from '../../ui/PageHeader';
import { toReader, useNoticeActions, useUnread } from './queries';
import { noticeText } from './text';

/** What was written to the reader; administrators may look at all that was written to theirs. */
export function NotificationsPage() {
  const { t } = useTranslation();
  const locale = useLocale();
  const session = useSignedIn();
  const { search, set, setPage } = useListSearch();
  const unread = useUnread();
  const actions = useNoticeActions();
  // Nobody writes to a superuser: there is only the whole list.
  const all = session.superuser || (session.role !== 'user' && search.status === 'all');
  const list = useRecordList('notifications', {
    page: search.page,
    sort: '-created',
    filter: all ? '' : toReader(session.id),
    expand: 'user_id',
  });
  const columns: Column<NotificationRecord>[] = [
    {
      key: 'text',
      header: t('notices.notice'),
      cell: (row) => {
        const { title, body } = noticeText(row, session.id, t, locale);
        return (
          <Stack gap={0}>
            <Text size="sm" fw={row.read ? undefined : 700}>
              {title}
            </Text>
            <Text size="xs" c="dimmed">
              {body}
            </Text>
          </Stack>
        );
      },
    },
    ...(all
      ? [
          {
            key: 'reader',
            header: t('notices.reader'),
            cell: (row: NotificationRecord) => row.expand?.user_id?.email ?? '–',
          },
        ]
      : []),
    { key: 'time', header: t('field.time'), cell: (row) => formatDateTime(row.created, locale) },
    {
      key: 'read',
      header: '',
      align: 'right',
      cell: (row) =>
        row.user_id === session.id ? (
          <Button
            size="compact-sm"
            variant="subtle"
            onClick={() => actions.mark.mutate({ id: row.id, read: !row.read })}
          >
            {row.read ? t('notices.markUnread') : t('notices.markRead')}
          </Button>
        ) : null,
    },
  ];
  return (
    <>
      <PageHeader title={t('notices.title')} lead={t('notices.lead')}>
        {(unread.data ?? 0) > 0 && (
          <Button
            variant="default"
            leftSection={<IconChecks size={16} aria-hidden />}
            loading={actions.markAll.isPending}
            onClick={() => actions.markAll.mutate()}
          >
            {t('notices.markAll')}
          </Button>
        )}
      </PageHeader>
      <Stack gap="md">
        <ErrorNote error={actions.mark.error ?? actions.markAll.error} />
        {session.role !== 'user' && !session.superuser && (
          <Group>
            <SegmentedControl
              value={all ? 'all' : 'own'}
              onChange={(status) => set({ status: status === 'all' ? 'all' : undefined })}
              data={[
                { value: 'own', label: t('notices.own') },
                { value: 'all', label: t('notices.all') },
              ]}
            />
          </Group>
        )}
        <div>
          <DataTable
            label={t('notices.title')}
            columns={columns}
            query={list}
            onPage={setPage}
            empty={<EmptyState title={t('notices.empty')} hint={t('notices.emptyHint')} />}
          />
        </div>
      </Stack>
    </>
  );
}
