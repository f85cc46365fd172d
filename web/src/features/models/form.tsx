import { Fieldset, Input, SimpleGrid, Switch, TagsInput, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { useOptions, useSaveRecord } from '../../api/records';
import type { ModelRecord } from '../../api/types';
import { required } from '../../lib/validate';
import { AmountInput, numberOr } from '../../ui/AmountInput';
import { FormDialog } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';
import { RecordSelect } from '../../ui/selects';
import { type DeploymentRow, Deployments, newDeployment } from './Deployments';
import { fromFields, PIECE_PRICES, type PriceFields, TOKEN_PRICES, toFields } from './prices';

export interface ModelValues {
  name: string;
  deployments: DeploymentRow[];
  fallbacks: string[];
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
      fallbacks: record?.fallbacks ?? [],
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
        maxTags={20}
        {...form.getInputProps('fallbacks')}
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
