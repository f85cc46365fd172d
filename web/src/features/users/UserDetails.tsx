import { Anchor, Button, Card, Code, Group, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { quote } from '../../api/filter';
import { useRealtime } from '../../api/realtime';
import { useRecord, useRecordList } from '../../api/records';
import type { LedgerEntryRecord, UserRecord } from '../../api/types';
import { formatDate, formatDateTime } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { useSignedIn } from '../../lib/session';
import { ConfirmButton } from '../../ui/ConfirmButton';
import { type Column, DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { ErrorNote } from '../../ui/ErrorNote';
import { Money } from '../../ui/Money';
import { PageHeader } from '../../ui/PageHeader';
import { StatusBadge } from '../../ui/StatusBadge';
import { BudgetOf } from '../budgets/BudgetOf';
import { BudgetSection } from '../budgets/BudgetSection';
import { MAIN } from '../budgets/queries';
import { LatestCalls } from '../dashboard/LatestCalls';
import { useLiveUsage } from '../dashboard/live';
import { KeyTable } from '../keys/KeyTable';
import { ApproveDialog } from './ApproveDialog';
import { UserForm } from './form';
import { useUserQuestions } from './questions';
import { TopUpDialog } from './TopUpDialog';

export function UserDetails({ id }: { id: string }) {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const session = useSignedIn();
  const user = useRecord('users', id, 'tenant_id,product_id');
  useRealtime('users', id, () => {
    for (const what of ['one', 'budgets']) void queries.invalidateQueries({ queryKey: ['users', what, id] });
  });
  useLiveUsage();
  if (user.error)
    return <ErrorNote error={user.error} title={t('error.loadFailed')} onRetry={() => user.refetch()} />;
  if (!user.data) return null;
  return (
    <>
      <Anchor component={Link} to="/users" size="sm">
        {t('nav.users')}
      </Anchor>
      <Header user={user.data} />
      <Stack gap="lg">
        <Facts user={user.data} />
        <BudgetSection
          owners="users"
          id={id}
          mayChange={
            session.superuser ||
            session.role === 'admin' ||
            (session.role === 'tenant_admin' && session.id !== id && user.data.role !== 'admin')
          }
        />
        <section>
          <KeyTable userId={id} headed />
        </section>
        <LatestCalls title={t('users.usage')} filter={`user_id = ${quote(id)}`} withUser={false} />
        <Ledger userId={id} />
      </Stack>
    </>
  );
}

function Header({ user }: { user: UserRecord }) {
  const { t } = useTranslation();
  const [open, setOpen] = useState<'edit' | 'approve' | 'topUp' | null>(null);
  const questions = useUserQuestions();
  const close = () => setOpen(null);
  return (
    <>
      <PageHeader title={user.name || user.email} lead={user.email}>
        {user.status === 'pending' && (
          <Button onClick={() => setOpen('approve')}>{t('users.approve')}</Button>
        )}
        {user.status !== 'pending' && <ConfirmButton question={questions.resetBudget(user)} />}
        {user.status !== 'pending' && (
          <Button variant="default" onClick={() => setOpen('topUp')}>
            {t('users.topUp')}
          </Button>
        )}
        {user.status === 'suspended' ? (
          <ConfirmButton question={questions.activate(user)} />
        ) : (
          <ConfirmButton question={questions.suspend(user)} />
        )}
        <Button variant="default" onClick={() => setOpen('edit')}>
          {t('common.edit')}
        </Button>
      </PageHeader>
      {open === 'edit' && <UserForm record={user} onClose={close} />}
      {open === 'approve' && <ApproveDialog user={user} onClose={close} />}
      {open === 'topUp' && <TopUpDialog user={user} onClose={close} />}
    </>
  );
}

function Facts({ user }: { user: UserRecord }) {
  const { t } = useTranslation();
  const locale = useLocale();
  return (
    <Card withBorder>
      <SimpleGrid cols={{ base: 1, xs: 2, md: 4 }}>
        <Fact label={t('field.status')}>
          <StatusBadge
            status={user.status}
            label={t(`userStatus.${user.status}`, { defaultValue: user.status })}
          />
        </Fact>
        <Fact label={t('field.role')}>{t(`role.${user.role}`, { defaultValue: user.role })}</Fact>
        <Fact label={t('field.tenant')}>{user.expand?.tenant_id?.name ?? '–'}</Fact>
        <Fact label={t('field.product')}>{user.expand?.product_id?.name ?? '–'}</Fact>
        <Fact label={t('field.budget')}>
          {user.budget_total > 0 ? (
            <BudgetOf
              collection="users"
              owner={user.id}
              used={user.budget_used}
              total={user.budget_total}
              currency={user.budget_currency}
            />
          ) : (
            t('budget.none')
          )}
        </Fact>
        <Fact label={t('field.budgetRemaining')}>
          <Money value={user.budget_remaining} currency={user.budget_currency} />
        </Fact>
        <Fact label={t('field.budgetReset')}>{formatDate(user.budget_reset_date, locale)}</Fact>
        <Fact label={t('users.mainKey')}>
          {user.litellm_api_key ? <Code>{user.litellm_api_key}</Code> : '–'}
        </Fact>
      </SimpleGrid>
    </Card>
  );
}

function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text size="sm" component="div" style={{ overflowWrap: 'anywhere' }}>
        {children}
      </Text>
    </div>
  );
}

/** The notes the server itself writes. */
const OWN_NOTES = [
  'account opened',
  'reset by hand',
  'top-up',
  'limit set',
  'period ended',
  'budgets set',
  'budgets of the product',
  'increase',
  'increase ended',
] as const;
function isOwnNote(note: string): note is (typeof OWN_NOTES)[number] {
  return (OWN_NOTES as readonly string[]).includes(note);
}

function Ledger({ userId }: { userId: string }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const [page, setPage] = useState(1);
  const entries = useRecordList('ledger_entries', {
    page,
    perPage: 10,
    sort: '-created',
    filter: `user_id = ${quote(userId)}`,
  });
  // What a person wrote is shown as it is, never handed to the translation.
  const note = (text: string) => (isOwnNote(text) ? t(`users.ledgerNote.${text}`) : text);
  const columns: Column<LedgerEntryRecord>[] = [
    { key: 'time', header: t('field.time'), cell: (row) => formatDateTime(row.created, locale) },
    {
      key: 'kind',
      header: t('field.kind'),
      cell: (row) => t(`users.ledgerKind.${row.kind}`, { defaultValue: row.kind }),
    },
    {
      key: 'limit',
      header: t('field.budget'),
      align: 'right',
      cell: (row) => (row.limit ? <Money value={row.limit} currency={row.currency} /> : '–'),
    },
    {
      key: 'posted',
      header: t('field.posted'),
      align: 'right',
      cell: (row) => <Money value={row.posted} currency={row.currency} />,
    },
    {
      key: 'pending',
      header: t('field.reserved'),
      align: 'right',
      cell: (row) => <Money value={row.reserved} currency={row.currency} />,
    },
    {
      key: 'note',
      header: t('field.note'),
      cell: (row) =>
        [row.window && row.window !== MAIN ? row.window : '', note(row.note) || row.request_id || '–']
          .filter(Boolean)
          .join(': '),
    },
  ];
  return (
    <section>
      <Group mb="xs">
        <Title order={2}>{t('users.ledger')}</Title>
      </Group>
      <DataTable
        label={t('users.ledger')}
        columns={columns}
        query={entries}
        onPage={setPage}
        empty={<EmptyState title={t('users.noLedger')} />}
      />
    </section>
  );
}
