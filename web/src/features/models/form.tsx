import {
  Fieldset,
  Input,
  MultiSelect,
  Select,
  SimpleGrid,
  Switch,
  TagsInput,
  Text,
  TextInput,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { useOptions, useSaveRecord } from '../../api/records';
import type { ModelRecord } from '../../api/types';
import { required } from '../../lib/validate';
import { AmountInput, numberOr } from '../../ui/AmountInput';
import { FormDialog } from '../../ui/FormDialog';
import { LimitFields, type LimitValues, limitsOf, limitValues } from '../../ui/LimitFields';
import { notifyDone } from '../../ui/notify';
import { RecordSelect } from '../../ui/selects';
import { type DeploymentRow, Deployments, newDeployment } from './Deployments';
import { fromFields, PIECE_PRICES, type PriceFields, TOKEN_PRICES, toFields } from './prices';

const BALANCES = ['weights', 'least_busy', 'lowest_latency'] as const;
const CAUSES = ['unavailable', 'context_length', 'content_filter'] as const;
const TIMES = ['first_byte_seconds', 'gap_seconds', 'total_seconds'] as const;

export interface ModelValues extends LimitValues {
  name: string;
  deployments: DeploymentRow[];
  balance: (typeof BALANCES)[number];
  retries: number | string;
  fallbacks: string[];
  fallback_on: string[];
  first_byte_seconds: number | string;
  gap_seconds: number | string;
  total_seconds: number | string;
  prices: PriceFields;
  max_output_tokens: number | string;
  context_window: number | string;
  tenant_id: string;
  active: boolean;
}

export function ModelForm({ record, onClose }: { record?: ModelRecord; onClose: () => void }) {
  const { t } = useTranslation();
  const save = useSaveRecord('models');
  const models = useOptions('models');
  const form = useForm<ModelValues>({
    initialValues: {
      name: record?.name ?? '',
      deployments: record?.deployments?.length
        ? record.deployments.map((deployment) => ({ ...newDeployment(), ...deployment }))
        : [newDeployment()],
      balance: record?.balance || 'weights',
      retries: record?.retries || '',
      fallbacks: record?.fallbacks ?? [],
      fallback_on: record?.fallback_on ?? [],
      first_byte_seconds: record?.first_byte_seconds || '',
      gap_seconds: record?.gap_seconds || '',
      total_seconds: record?.total_seconds || '',
      ...limitValues(record),
      prices: toFields(record?.prices),
      max_output_tokens: record?.max_output_tokens || '',
      context_window: record?.context_window || '',
      tenant_id: record?.tenant_id ?? '',
      active: record?.active ?? true,
    },
    validate: {
      name: required(t),
      deployments: { provider_key: required(t), model: required(t) },
    },
  });
  const submit = async (values: ModelValues) => {
    const body = {
      ...values,
      name: values.name.trim(),
      deployments: values.deployments.map(({ row: _, ...deployment }) => ({
        ...deployment,
        model: deployment.model.trim(),
        weight: numberOr(deployment.weight, 1),
        order: numberOr(deployment.order, 0),
      })),
      prices: fromFields(values.prices, record?.prices),
      retries: numberOr(values.retries, 0),
      first_byte_seconds: numberOr(values.first_byte_seconds, 0),
      gap_seconds: numberOr(values.gap_seconds, 0),
      total_seconds: numberOr(values.total_seconds, 0),
      ...limitsOf(values),
      max_output_tokens: numberOr(values.max_output_tokens, 0),
      context_window: numberOr(values.context_window, 0),
    };
    await save.mutateAsync({ id: record?.id, body });
    notifyDone(t('common.saved'));
    onClose();
  };
  return (
    <FormDialog
      title={record ? t('models.editTitle') : t('models.new')}
      form={form}
      onClose={onClose}
      onSubmit={submit}
    >
      <TextInput
        label={t('field.name')}
        description={t('models.nameHint')}
        required
        data-autofocus
        maxLength={200}
        {...form.getInputProps('name')}
      />
      <Deployments form={form} />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <Select
          label={t('models.balance')}
          description={t('models.balanceHint')}
          allowDeselect={false}
          data={BALANCES.map((value) => ({ value, label: t(`models.balances.${value}`) }))}
          {...form.getInputProps('balance')}
        />
        <AmountInput
          label={t('models.retries')}
          description={t('models.retriesHint')}
          allowDecimal={false}
          max={5}
          {...form.getInputProps('retries')}
        />
      </SimpleGrid>
      <Fieldset legend={t('models.prices')}>
        <Text size="xs" c="dimmed" mb="xs">
          {t('models.pricesHint')}
        </Text>
        <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="xs">
          {[...TOKEN_PRICES, ...PIECE_PRICES].map((name) => (
            <AmountInput
              key={name}
              label={t(`models.price.${name}`)}
              {...form.getInputProps(`prices.${name}`)}
            />
          ))}
        </SimpleGrid>
        {form.errors.prices && (
          <Input.Error mt="xs" role="alert">
            {form.errors.prices}
          </Input.Error>
        )}
      </Fieldset>
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <AmountInput
          label={t('field.maxOutputTokens')}
          description={t('models.limitHint')}
          allowDecimal={false}
          {...form.getInputProps('max_output_tokens')}
        />
        <AmountInput
          label={t('field.contextWindow')}
          description={t('models.limitHint')}
          allowDecimal={false}
          {...form.getInputProps('context_window')}
        />
      </SimpleGrid>
      <TagsInput
        label={t('field.fallbacks')}
        description={t('models.fallbacksHint')}
        data={models.data?.map((model) => model.name).filter((name) => name !== form.values.name) ?? []}
        maxTags={5}
        {...form.getInputProps('fallbacks')}
      />
      {form.values.fallbacks.length > 0 && (
        <MultiSelect
          label={t('models.fallbackOn')}
          description={t('models.fallbackOnHint')}
          data={CAUSES.map((value) => ({ value, label: t(`models.causes.${value}`) }))}
          {...form.getInputProps('fallback_on')}
        />
      )}
      <LimitFields form={form} hint={t('models.limitsHint')} />
      <Fieldset legend={t('models.times')}>
        <Text size="xs" c="dimmed" mb="xs">
          {t('models.timesHint')}
        </Text>
        <SimpleGrid cols={{ base: 1, xs: 3 }} spacing="xs">
          {TIMES.map((name) => (
            <AmountInput
              key={name}
              label={t(`models.time.${name}`)}
              allowDecimal={false}
              max={86_400}
              {...form.getInputProps(name)}
            />
          ))}
        </SimpleGrid>
      </Fieldset>
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
