import { MultiSelect, PasswordInput, Switch, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { useSaveRecord } from '../../api/records';
import type { WebhookRecord } from '../../api/types';
import { required } from '../../lib/validate';
import { FormDialog } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';
import { RecordSelect } from '../../ui/selects';
import { useOutboxStatus } from '../outbox/queries';
import { eventName } from './columns';

interface WebhookFormProps {
  record?: WebhookRecord;
  onClose: () => void;
  /** With the secret in full, this once. */
  onCreated: (webhook: WebhookRecord) => void;
}

export function WebhookForm({ record, onClose, onCreated }: WebhookFormProps) {
  const { t } = useTranslation();
  const status = useOutboxStatus();
  const save = useSaveRecord('webhooks');
  const form = useForm({
    initialValues: {
      name: record?.name ?? '',
      url: record?.url ?? '',
      secret: '',
      events: record?.events ?? [],
      tenant_id: record?.tenant_id ?? '',
      active: record?.active ?? true,
    },
    validate: { name: required(t), url: required(t) },
  });
  return (
    <FormDialog
      title={record ? t('webhooks.editTitle') : t('webhooks.new')}
      form={form}
      onClose={onClose}
      onSubmit={async ({ secret, ...values }) => {
        // An empty secret is left out: the stored one stays, or one is made.
        const body = { ...values, ...(secret ? { secret } : {}) };
        const saved = await save.mutateAsync({ id: record?.id, body });
        onClose();
        if (record || secret) notifyDone(t('common.saved'));
        else onCreated(saved);
      }}
    >
      <TextInput
        label={t('field.name')}
        required
        data-autofocus
        maxLength={200}
        {...form.getInputProps('name')}
      />
      <TextInput
        label={t('field.address')}
        required
        type="url"
        placeholder="https://"
        maxLength={1000}
        {...form.getInputProps('url')}
      />
      <PasswordInput
        label={t('field.secret')}
        description={record ? t('webhooks.secretKeep') : t('webhooks.secretHint')}
        placeholder={record?.secret}
        autoComplete="off"
        maxLength={200}
        {...form.getInputProps('secret')}
      />
      <MultiSelect
        label={t('field.events')}
        description={t('webhooks.eventsHint')}
        clearable
        data={status.data?.webhook_events.map((value) => ({ value, label: eventName(value, t) })) ?? []}
        {...form.getInputProps('events')}
      />
      <RecordSelect
        collection="tenants"
        label={t('field.tenant')}
        description={t('providerKeys.tenantHint')}
        placeholder={t('providerKeys.allTenants')}
        clearable
        {...form.getInputProps('tenant_id')}
      />
      <Switch label={t('field.active')} {...form.getInputProps('active', { type: 'checkbox' })} />
    </FormDialog>
  );
}
