import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { call } from '../../api/client';
import type { WebhookRecord } from '../../api/types';
import { ErrorNote } from '../../ui/ErrorNote';
import { notifyDone } from '../../ui/notify';
import { RecordPage } from '../../ui/RecordPage';
import { SecretOnce, type SecretSet } from '../../ui/SecretOnce';
import { useWebhookColumns } from './columns';
import { WebhookForm } from './form';

export function WebhooksPage() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [secret, setSecret] = useState<SecretSet | null>(null);
  const columns = useWebhookColumns();
  const tryOut = useMutation({
    mutationFn: (webhook: WebhookRecord) =>
      call<{ id: string }>('POST', `/api/webhooks/${encodeURIComponent(webhook.id)}/test`),
    onSuccess: () => {
      notifyDone(t('webhooks.tested'));
      void queries.invalidateQueries({ queryKey: ['messages'] });
    },
  });
  const deliveries = (webhook: WebhookRecord) =>
    void navigate({ to: '/outbox' as never, search: { group: webhook.id } as never });
  return (
    <>
      <RecordPage
        collection="webhooks"
        title={t('webhooks.title')}
        lead={t('webhooks.lead')}
        newLabel={t('webhooks.new')}
        empty={t('webhooks.empty')}
        emptyHint={t('webhooks.emptyHint')}
        columns={columns}
        searchFields={['name', 'url']}
        defaultSort="name"
        nameOf={(webhook) => webhook.name}
        deleteText={(webhook) => t('webhooks.deleteText', { name: webhook.name })}
        actions={(webhook) => [
          { label: t('webhooks.test'), onClick: () => tryOut.mutate(webhook) },
          { label: t('webhooks.deliveries'), onClick: () => deliveries(webhook) },
        ]}
        form={(props) => (
          <WebhookForm
            {...props}
            onCreated={(webhook) =>
              setSecret({
                title: t('webhooks.createdTitle', { name: webhook.name }),
                text: t('webhooks.createdText'),
                secrets: [{ label: t('field.secret'), value: webhook.secret }],
              })
            }
          />
        )}
      >
        <ErrorNote error={tryOut.error} />
      </RecordPage>
      <SecretOnce shown={secret} onClose={() => setSecret(null)} />
    </>
  );
}
