import { Select, SimpleGrid, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import type { ApiKeyRecord, CreatedApiKey } from '../../api/types';
import { required } from '../../lib/validate';
import { AmountInput, numberOr } from '../../ui/AmountInput';
import { FormDialog } from '../../ui/FormDialog';
import { LimitFields, limitsOf, limitValues } from '../../ui/LimitFields';
import { useKeyActions } from './queries';

interface KeyFormProps {
  userId?: string;
  onClose: () => void;
  onKey: (key: CreatedApiKey) => void;
}

export function KeyForm({ userId, onClose, onKey }: KeyFormProps) {
  const { t } = useTranslation();
  const actions = useKeyActions();
  const form = useForm({
    initialValues: { name: '', budget_total: '' as number | string, expires: '', ...limitValues() },
    validate: { name: required(t) },
  });
  return (
    <FormDialog
      title={t('keys.new')}
      form={form}
      size="md"
      onClose={onClose}
      onSubmit={async ({ name, budget_total, expires, ...limits }) => {
        const key = await actions.create({
          name: name.trim(),
          user_id: userId,
          budget_total: numberOr(budget_total, undefined),
          ...limitsOf(limits),
          // The key works until the end of the chosen day where the person is.
          expires: expires ? new Date(`${expires}T23:59:59`).toISOString().replace('T', ' ') : undefined,
        });
        onClose();
        onKey(key);
      }}
    >
      <TextInput
        label={t('field.name')}
        description={t('keys.nameHint')}
        required
        data-autofocus
        maxLength={100}
        {...form.getInputProps('name')}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <AmountInput
          label={t('field.budget')}
          description={t('keys.budgetHint')}
          {...form.getInputProps('budget_total')}
        />
        <TextInput
          type="date"
          label={t('field.expires')}
          description={t('keys.expiresHint')}
          {...form.getInputProps('expires')}
        />
      </SimpleGrid>
      <LimitFields form={form} hint={t('keys.limitsHint')} />
    </FormDialog>
  );
}

export function RotateForm({
  record,
  onClose,
  onKey,
}: {
  record: ApiKeyRecord;
  onClose: () => void;
  onKey: (key: CreatedApiKey) => void;
}) {
  const { t } = useTranslation();
  const actions = useKeyActions();
  const form = useForm({ initialValues: { grace: '3600' } });
  return (
    <FormDialog
      title={t('keys.rotateTitle', { name: record.name })}
      form={form}
      size="md"
      submitLabel={t('keys.rotate')}
      onClose={onClose}
      onSubmit={async ({ grace }) => {
        const key = await actions.rotate({ id: record.id, graceSeconds: Number(grace) });
        onClose();
        onKey(key);
      }}
    >
      <Text size="sm">{t('keys.rotateText')}</Text>
      <Select
        label={t('keys.grace')}
        allowDeselect={false}
        data={[
          { value: '0', label: t('keys.grace0') },
          { value: '3600', label: t('keys.grace1h') },
          { value: '86400', label: t('keys.grace1d') },
          { value: '604800', label: t('keys.grace7d') },
        ]}
        {...form.getInputProps('grace')}
      />
    </FormDialog>
  );
}
