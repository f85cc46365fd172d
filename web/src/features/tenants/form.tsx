import { Group, NumberInput, Select, SimpleGrid, Switch, TagsInput, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { infoQuery } from '../../api/info';
import { useSaveRecord } from '../../api/records';
import type { TenantRecord } from '../../api/types';
import { required } from '../../lib/validate';
import { AmountInput } from '../../ui/AmountInput';
import { CurrencySelect } from '../../ui/CurrencySelect';
import { FormDialog } from '../../ui/FormDialog';
import { LimitFields, limitsOf, limitValues } from '../../ui/LimitFields';
import { notifyDone } from '../../ui/notify';
import { fromRows, toRows } from '../prices/list';
import { PriceListEditor } from '../prices/PriceListEditor';
import { KeepingFields, keepingOf } from './KeepingFields';

const TYPES = ['internal', 'customer', 'demo'] as const;
const STATUSES = ['active', 'suspended', 'archived'] as const;

const NOTICES = ['default', 'own', 'off'] as const;
const DEFAULT_PERCENTS = [50, 80, 100];

function noticesOf(record?: TenantRecord): (typeof NOTICES)[number] {
  if (!record?.budget_notices) return 'default';
  return record.budget_notices.length > 0 ? 'own' : 'off';
}

const isPercent = (text: string) => /^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= 100;

export function TenantForm({ record, onClose }: { record?: TenantRecord; onClose: () => void }) {
  const { t } = useTranslation();
  const info = useQuery(infoQuery);
  const save = useSaveRecord('tenants');
  const form = useForm({
    initialValues: {
      name: record?.name ?? '',
      slug: record?.slug ?? '',
      domain: record?.domain ?? '',
      type: record?.type ?? 'customer',
      status: record?.status ?? 'active',
      signup_enabled: record?.signup_enabled ?? false,
      budget_total: record?.budget_total ?? 0,
      currency: record?.currency || 'EUR',
      time_zone: record?.time_zone || Intl.DateTimeFormat().resolvedOptions().timeZone,
      locale: record?.locale || 'de',
      chat: record?.chat || 'builtin',
      regions: record?.regions ?? [],
      ...limitValues(record),
      usage_retention_days: record?.usage_retention_days ?? 0,
      ...keepingOf(record),
      notices: noticesOf(record),
      percents: (record?.budget_notices ?? DEFAULT_PERCENTS).map(String),
      prices: toRows(record?.prices),
    },
    validate: {
      name: required(t),
      percents: (value, { notices }) =>
        notices === 'own' && !value.every(isPercent) ? t('tenants.percentsWrong') : null,
      slug: (value) => (/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(value) ? null : t('validation.slug')),
    },
  });
  const address = `${form.values.slug || '…'}.${info.data?.base_domain ?? window.location.hostname}`;
  return (
    <FormDialog
      title={record ? t('tenants.editTitle') : t('tenants.new')}
      form={form}
      onClose={onClose}
      onSubmit={async ({ notices, percents, ...values }) => {
        const own = [...new Set(percents.map(Number))].sort((a, b) => a - b);
        const budget_notices = notices === 'default' ? null : notices === 'off' ? [] : own;
        const body = { ...values, ...limitsOf(values), budget_notices, prices: fromRows(values.prices) };
        await save.mutateAsync({ id: record?.id, body });
        notifyDone(t('common.saved'));
        onClose();
      }}
    >
      <TextInput
        label={t('field.name')}
        required
        data-autofocus
        maxLength={200}
        {...form.getInputProps('name')}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <TextInput
          label={t('field.slug')}
          description={t('tenants.slugHint', { address })}
          required
          maxLength={63}
          {...form.getInputProps('slug')}
        />
        <TextInput
          label={t('field.domain')}
          description={t('tenants.domainHint')}
          maxLength={253}
          {...form.getInputProps('domain')}
        />
        <Select
          label={t('field.type')}
          allowDeselect={false}
          data={TYPES.map((value) => ({ value, label: t(`tenantType.${value}`) }))}
          {...form.getInputProps('type')}
        />
        <Select
          label={t('field.status')}
          allowDeselect={false}
          data={STATUSES.map((value) => ({ value, label: t(`tenantStatus.${value}`) }))}
          {...form.getInputProps('status')}
        />
        <AmountInput
          label={t('field.budgetTotal')}
          description={t('tenants.budgetHint')}
          {...form.getInputProps('budget_total')}
        />
        <CurrencySelect {...form.getInputProps('currency')} />
        <TextInput label={t('field.timeZone')} maxLength={64} {...form.getInputProps('time_zone')} />
        <Select
          label={t('field.locale')}
          allowDeselect={false}
          data={['de', 'en']}
          {...form.getInputProps('locale')}
        />
        <NumberInput
          label={t('field.retention')}
          description={t('tenants.retentionHint')}
          min={0}
          max={36500}
          allowDecimal={false}
          {...form.getInputProps('usage_retention_days')}
        />
      </SimpleGrid>
      <Select
        label={t('tenants.notices')}
        description={t('tenants.noticesHint')}
        allowDeselect={false}
        data={NOTICES.map((value) => ({ value, label: t(`tenants.noticesMode.${value}`) }))}
        {...form.getInputProps('notices')}
      />
      {form.values.notices === 'own' && (
        <TagsInput
          label={t('tenants.percents')}
          description={t('tenants.percentsHint')}
          maxTags={10}
          {...form.getInputProps('percents')}
        />
      )}
      <TextInput
        label={t('field.chat')}
        description={t('tenants.chatHint')}
        maxLength={500}
        {...form.getInputProps('chat')}
      />
      <TagsInput
        label={t('field.regions')}
        description={t('tenants.regionsHint')}
        maxTags={50}
        {...form.getInputProps('regions')}
      />
      <LimitFields form={form} hint={t('tenants.limitsHint')} />
      <KeepingFields form={form} />
      <PriceListEditor
        hint={t('priceList.tenantHint')}
        value={form.values.prices}
        onChange={(rows) => form.setFieldValue('prices', rows)}
        error={form.errors.prices}
      />
      <Group>
        <Switch
          label={t('field.signupEnabled')}
          description={t('tenants.signupHint')}
          {...form.getInputProps('signup_enabled', { type: 'checkbox' })}
        />
      </Group>
    </FormDialog>
  );
}
