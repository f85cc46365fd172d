import { Select, SimpleGrid, TagsInput, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { useOptions, useSaveRecord } from '../../api/records';
import type { ApiKeyRecord, CreatedApiKey } from '../../api/types';
import { lastMoment, localDay } from '../../lib/format';
import { required } from '../../lib/validate';
import { AmountInput, numberOr } from '../../ui/AmountInput';
import { FormDialog } from '../../ui/FormDialog';
import { LimitFields, limitsOf, limitValues } from '../../ui/LimitFields';
import { notifyDone } from '../../ui/notify';
import { useKeyActions } from './queries';

/** The most models that the server takes for a key. */
const MAX_MODELS = 200;

/** What a key that is made and one that is changed have in common; `record` is the one that is changed. */
function useKeyForm(record?: ApiKeyRecord) {
  const { t } = useTranslation();
  const day = localDay(record?.expires);
  return useForm({
    initialValues: {
      name: record?.name ?? '',
      models: record?.models ?? [],
      budget_total: '' as number | string,
      expires: day,
      ...limitValues(record),
    },
    validate: {
      name: required(t),
      expires: (value) =>
        value && value !== day && lastMoment(value) <= new Date() ? t('keys.expiresPast') : null,
    },
  });
}

type KeyFields = ReturnType<typeof useKeyForm>;

/** The key works until the end of the chosen day where the person is. */
function endOf(day: string): string {
  return day && lastMoment(day).toISOString().replace('T', ' ');
}

function NameField({ form }: { form: KeyFields }) {
  const { t } = useTranslation();
  return (
    <TextInput
      label={t('field.name')}
      description={t('keys.nameHint')}
      required
      data-autofocus
      maxLength={100}
      {...form.getInputProps('name')}
    />
  );
}

/** `among`: the only models that may be chosen. */
function ModelsField({ form, among }: { form: KeyFields; among?: string[] }) {
  const { t } = useTranslation();
  const models = useOptions('models', !among);
  return (
    <TagsInput
      label={t('field.models')}
      description={t('keys.modelsHint')}
      data={among ?? models.data?.map((model) => model.name) ?? []}
      maxTags={MAX_MODELS}
      acceptValueOnBlur
      {...form.getInputProps('models')}
    />
  );
}

function ExpiresField({ form }: { form: KeyFields }) {
  const { t } = useTranslation();
  return (
    <TextInput
      type="date"
      label={t('field.expires')}
      description={t('keys.expiresHint')}
      {...form.getInputProps('expires')}
    />
  );
}

interface NewKeyFormProps {
  userId?: string;
  onClose: () => void;
  onKey: (key: CreatedApiKey) => void;
}

export function NewKeyForm({ userId, onClose, onKey }: NewKeyFormProps) {
  const { t } = useTranslation();
  const actions = useKeyActions();
  const form = useKeyForm();
  return (
    <FormDialog
      title={t('keys.new')}
      form={form}
      size="md"
      onClose={onClose}
      onSubmit={async ({ name, models, budget_total, expires, ...limits }) => {
        const key = await actions.create({
          name: name.trim(),
          user_id: userId,
          models,
          budget_total: numberOr(budget_total, undefined),
          ...limitsOf(limits),
          expires: endOf(expires) || undefined,
        });
        onClose();
        onKey(key);
      }}
    >
      <NameField form={form} />
      <ModelsField form={form} />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <AmountInput
          label={t('field.budget')}
          description={t('keys.budgetHint')}
          {...form.getInputProps('budget_total')}
        />
        <ExpiresField form={form} />
      </SimpleGrid>
      <LimitFields form={form} hint={t('keys.limitsHint')} />
    </FormDialog>
  );
}

interface EditKeyFormProps {
  record: ApiKeyRecord;
  /** Others may make the key narrower only; the server sees to it. */
  manages: boolean;
  onClose: () => void;
}

/** A key's budgets have a dialog of their own. */
export function EditKeyForm({ record, manages, onClose }: EditKeyFormProps) {
  const { t } = useTranslation();
  const save = useSaveRecord('api_keys');
  const form = useKeyForm(record);
  const listed = record.models ?? [];
  return (
    <FormDialog
      title={t('keys.editTitle', { name: record.name })}
      form={form}
      size="md"
      onClose={onClose}
      onSubmit={async ({ name, models, expires, budget_total: _, ...limits }) => {
        const body = {
          name: name.trim(),
          models,
          ...limitsOf(limits),
          // The moment may be another one of the same day.
          ...(form.isDirty('expires') && { expires: endOf(expires) }),
        };
        await save.mutateAsync({ id: record.id, body });
        notifyDone(t('common.saved'));
        onClose();
      }}
    >
      {!manages && (
        <Text size="sm" c="dimmed">
          {t('keys.narrowerHint')}
        </Text>
      )}
      <NameField form={form} />
      <ModelsField form={form} among={manages || listed.length === 0 ? undefined : listed} />
      <ExpiresField form={form} />
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
