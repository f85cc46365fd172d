import { Button, Group, Title } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { quote } from '../../api/filter';
import { useRecord, useRecordList } from '../../api/records';
import type { ApiKeyRecord, CreatedApiKey } from '../../api/types';
import { useConfirm } from '../../ui/confirm';
import { type Column, DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { notifyDone } from '../../ui/notify';
import { PageHeader } from '../../ui/PageHeader';
import { RowMenu } from '../../ui/RowMenu';
import { SecretOnce } from '../../ui/SecretOnce';
import { useKeyColumns } from './columns';
import { Example } from './Example';
import { EditKeyForm, NewKeyForm, RotateForm } from './form';
import { KeyBudgets } from './KeyBudgets';
import { useKeyActions } from './queries';
import { useManagesKeys } from './rights';

/** The keys of one user, to make, rotate and revoke them. `headed`: as a part of another page. */
export function KeyTable({ userId, headed }: { userId: string; headed?: boolean }) {
  const { t } = useTranslation();
  const [page, setPage] = useState(1);
  const [creating, setCreating] = useState(false);
  const [editing, setEditing] = useState<ApiKeyRecord | null>(null);
  const [rotating, setRotating] = useState<ApiKeyRecord | null>(null);
  const [budgets, setBudgets] = useState<ApiKeyRecord | null>(null);
  const [shown, setShown] = useState<CreatedApiKey | null>(null);
  const [ask, dialog] = useConfirm();
  const actions = useKeyActions();
  // A key's budget is in its user's currency.
  const user = useRecord('users', userId);
  const manages = useManagesKeys(user.data?.role);
  const keys = useRecordList('api_keys', { page, sort: '-created', filter: `user_id = ${quote(userId)}` });
  const askRevoke = (key: ApiKeyRecord) =>
    ask({
      title: t('keys.revokeTitle', { name: key.name }),
      text: t('keys.revokeText', { name: key.name }),
      action: t('keys.revoke'),
      danger: true,
      run: async () => {
        await actions.revoke(key.id);
        notifyDone(t('keys.revoked'));
      },
    });
  const menu: Column<ApiKeyRecord> = {
    key: 'menu',
    header: '',
    align: 'right',
    cell: (key) =>
      key.status === 'active' && (
        <RowMenu
          name={key.name}
          actions={[
            { label: t('common.edit'), onClick: () => setEditing(key) },
            { label: t('budgets.title'), onClick: () => setBudgets(key) },
            { label: t('keys.rotate'), onClick: () => setRotating(key) },
            { label: t('keys.revoke'), onClick: () => askRevoke(key), danger: true },
          ]}
        />
      ),
  };
  const newButton = (
    <Button
      size={headed ? 'xs' : undefined}
      variant={headed ? 'default' : 'filled'}
      leftSection={<IconPlus size={16} aria-hidden />}
      onClick={() => setCreating(true)}
    >
      {t('keys.new')}
    </Button>
  );
  return (
    <>
      {headed ? (
        <Group justify="space-between" mb="xs">
          <Title order={2}>{t('keys.title')}</Title>
          {newButton}
        </Group>
      ) : (
        <PageHeader title={t('keys.title')} lead={t('keys.lead')}>
          {newButton}
        </PageHeader>
      )}
      <DataTable
        label={t('keys.title')}
        columns={[...useKeyColumns(user.data?.budget_currency), menu]}
        query={keys}
        onPage={setPage}
        empty={<EmptyState title={t('keys.empty')} hint={t('keys.emptyHint')} />}
      />
      {creating && (
        <NewKeyForm
          userId={headed ? userId : undefined}
          onClose={() => setCreating(false)}
          onKey={setShown}
        />
      )}
      {editing && <EditKeyForm record={editing} manages={manages} onClose={() => setEditing(null)} />}
      {budgets && <KeyBudgets record={budgets} mayChange={manages} onClose={() => setBudgets(null)} />}
      {rotating && <RotateForm record={rotating} onClose={() => setRotating(null)} onKey={setShown} />}
      <SecretOnce
        shown={
          shown && {
            title: t('keys.createdTitle', { name: shown.name }),
            text: t('keys.createdText'),
            secrets: [{ label: t('field.apiKey'), value: shown.key }],
            // For another person's key the models of the signed-in one would say nothing.
            example: !headed && <Example apiKey={shown.key} />,
          }
        }
        onClose={() => setShown(null)}
      />
      {dialog}
    </>
  );
}
