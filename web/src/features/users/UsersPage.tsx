import { Select } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { all, quote } from '../../api/filter';
import type { UserRecord } from '../../api/types';
import { useListSearch } from '../../lib/listSearch';
import { useSignedIn } from '../../lib/session';
import { useConfirm } from '../../ui/confirm';
import { RecordPage } from '../../ui/RecordPage';
import { SecretOnce, type SecretSet } from '../../ui/SecretOnce';
import { RecordSelect } from '../../ui/selects';
import { ApproveDialog } from './ApproveDialog';
import { useUserColumns } from './columns';
import { UserForm } from './form';
import { useUserQuestions } from './questions';

const STATUSES = ['pending', 'active', 'suspended'] as const;

export function UsersPage() {
  const { t } = useTranslation();
  const session = useSignedIn();
  const navigate = useNavigate();
  const { search, set } = useListSearch();
  const [secrets, setSecrets] = useState<SecretSet | null>(null);
  const [approving, setApproving] = useState<UserRecord | null>(null);
  const [ask, dialog] = useConfirm();
  const questions = useUserQuestions();
  const columns = useUserColumns(setApproving);
  return (
    <>
      <RecordPage
        collection="users"
        title={t('users.title')}
        newLabel={t('users.new')}
        empty={t('users.empty')}
        emptyHint={t('users.emptyHint')}
        columns={columns}
        searchFields={['name', 'email']}
        searchLabel={t('users.search')}
        defaultSort="-created"
        expand="tenant_id,product_id"
        filter={all(
          search.status && `status = ${quote(search.status)}`,
          search.tenant && `tenant_id = ${quote(search.tenant)}`,
        )}
        filters={
          <>
            <Select
              aria-label={t('field.status')}
              placeholder={t('field.status')}
              clearable
              w={150}
              data={STATUSES.map((value) => ({ value, label: t(`userStatus.${value}`) }))}
              value={search.status ?? null}
              onChange={(status) => set({ status: status ?? undefined })}
            />
            {session.role === 'admin' && (
              <RecordSelect
                collection="tenants"
                aria-label={t('field.tenant')}
                placeholder={t('field.tenant')}
                clearable
                w={200}
                value={search.tenant}
                onChange={(tenant) => set({ tenant: tenant || undefined })}
              />
            )}
          </>
        }
        mayDelete={session.role === 'admin'}
        nameOf={(user) => user.name || user.email}
        deleteText={(user) => t('users.deleteText', { name: user.name || user.email })}
        actions={(user) => [
          { label: t('common.details'), onClick: () => void navigate({ to: `/users/${user.id}` as never }) },
          { label: t('users.approve'), onClick: () => setApproving(user), hidden: user.status !== 'pending' },
          {
            label: t('users.resetBudget'),
            onClick: () => ask(questions.resetBudget(user)),
            hidden: user.status === 'pending',
          },
          {
            label: t('users.suspend'),
            onClick: () => ask(questions.suspend(user)),
            hidden: user.status === 'suspended',
          },
          {
            label: t('users.activate'),
            onClick: () => ask(questions.activate(user)),
            hidden: user.status !== 'suspended',
          },
        ]}
        form={({ record, onClose }) => (
          <UserForm
            record={record}
            onClose={onClose}
            onCreated={(user, password) =>
              setSecrets({
                title: t('users.createdTitle', { name: user.name || user.email }),
                text: t('users.createdText'),
                secrets: [
                  { label: t('field.email'), value: user.email },
                  ...(password ? [{ label: t('field.password'), value: password }] : []),
                  { label: t('field.apiKey'), value: user.litellm_api_key },
                ],
              })
            }
          />
        )}
      />
      {approving && <ApproveDialog user={approving} onClose={() => setApproving(null)} />}
      <SecretOnce shown={secrets} onClose={() => setSecrets(null)} />
      {dialog}
    </>
  );
}
