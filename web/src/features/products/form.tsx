import { Box, Input, Select, SimpleGrid, Switch, TagsInput, Textarea, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { useOptions, useSaveRecord } from '../../api/records';
import type { ProductRecord } from '../../api/types';
import { required } from '../../lib/validate';
import { AmountInput, numberOr } from '../../ui/AmountInput';
import { CurrencySelect } from '../../ui/CurrencySelect';
import { FormDialog } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';
import { MAX_WINDOWS, PERIODS } from '../budgets/queries';
import { draftOf, specOf, WindowFields } from '../budgets/WindowFields';
import { fromRows, toRows } from '../prices/list';
import { PriceListEditor } from '../prices/PriceListEditor';

export function ProductForm({ record, onClose }: { record?: ProductRecord; onClose: () => void }) {
  const { t } = useTranslation();
  const save = useSaveRecord('products');
  const models = useOptions('models');
  const form = useForm({
    initialValues: {
      name: record?.name ?? '',
      description: record?.description ?? '',
      price: (record?.price ?? 0) as number | string,
      currency: record?.currency || 'EUR',
      budget_included: (record?.budget_included ?? '') as number | string,
      models: record?.models ?? [],
      features: record?.features ?? [],
      rate_limit: (record?.rate_limit ?? 60) as number | string,
      tokens_per_minute: (record?.tokens_per_minute ?? 0) as number | string,
      parallel_requests: (record?.parallel_requests ?? 0) as number | string,
      budget_period: record?.budget_period ?? 'days',
      budget_period_days: (record?.budget_period_days || 30) as number | string,
      budget_carry_over: record?.budget_carry_over ?? false,
      budget_windows: (record?.budget_windows ?? []).map(draftOf),
      margin: (record?.margin ?? 0) as number | string,
      prices: toRows(record?.prices),
      active: record?.active ?? true,
    },
    validate: {
      name: required(t),
      budget_included: required(t),
      budget_period_days: (value) => (numberOr(value, 0) > 0 ? null : t('validation.positive')),
    },
  });
  return (
    <FormDialog
      title={record ? t('products.editTitle') : t('products.new')}
      form={form}
      onClose={onClose}
      onSubmit={async (values) => {
        const body = {
          ...values,
          price: numberOr(values.price, 0),
          budget_included: numberOr(values.budget_included, 0),
          rate_limit: numberOr(values.rate_limit, 0),
          tokens_per_minute: numberOr(values.tokens_per_minute, 0),
          parallel_requests: numberOr(values.parallel_requests, 0),
          budget_period_days: numberOr(values.budget_period_days, 30),
          budget_windows: values.budget_windows.map(specOf),
          margin: numberOr(values.margin, 0),
          prices: fromRows(values.prices),
        };
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
      <Textarea
        label={t('field.description')}
        autosize
        minRows={2}
        maxLength={2000}
        {...form.getInputProps('description')}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <AmountInput label={t('field.price')} {...form.getInputProps('price')} />
        <CurrencySelect {...form.getInputProps('currency')} />
        <AmountInput label={t('field.budgetIncluded')} required {...form.getInputProps('budget_included')} />
        <Select
          label={t('budgets.periodLabel')}
          allowDeselect={false}
          data={PERIODS.map((value) => ({ value, label: t(`budgets.period.${value}`) }))}
          {...form.getInputProps('budget_period')}
        />
        {form.values.budget_period === 'days' && (
          <AmountInput
            label={t('field.budgetPeriodDays')}
            allowDecimal={false}
            {...form.getInputProps('budget_period_days')}
          />
        )}
        <AmountInput
          label={t('field.margin')}
          description={t('products.marginHint')}
          min={-100}
          max={10_000}
          decimalScale={2}
          suffix=" %"
          {...form.getInputProps('margin')}
        />
      </SimpleGrid>
      {form.values.budget_period !== 'total' && (
        <Switch
          label={t('budgets.carryOver')}
          {...form.getInputProps('budget_carry_over', { type: 'checkbox' })}
        />
      )}
      <Input.Wrapper
        label={t('budgets.more')}
        description={t('budgets.moreHint')}
        error={form.errors.budget_windows}
      >
        <Box mt="xs">
          <WindowFields
            drafts={form.values.budget_windows}
            onChange={(windows) => form.setFieldValue('budget_windows', windows)}
            currency={form.values.currency}
            most={MAX_WINDOWS - 1}
          />
        </Box>
      </Input.Wrapper>
      <TagsInput
        label={t('field.models')}
        description={t('products.modelsHint')}
        data={models.data?.map((model) => model.name) ?? []}
        maxTags={200}
        acceptValueOnBlur
        {...form.getInputProps('models')}
      />
      <TagsInput
        label={t('field.features')}
        description={t('products.featuresHint')}
        maxTags={100}
        acceptValueOnBlur
        {...form.getInputProps('features')}
      />
      <SimpleGrid cols={{ base: 1, xs: 3 }}>
        <AmountInput
          label={t('field.rateLimit')}
          description={t('products.rateLimitHint')}
          allowDecimal={false}
          {...form.getInputProps('rate_limit')}
        />
        <AmountInput
          label={t('field.tokensPerMinute')}
          description={t('products.zeroHint')}
          allowDecimal={false}
          {...form.getInputProps('tokens_per_minute')}
        />
        <AmountInput
          label={t('field.parallelRequests')}
          description={t('products.zeroHint')}
          allowDecimal={false}
          {...form.getInputProps('parallel_requests')}
        />
      </SimpleGrid>
      <PriceListEditor
        hint={t('priceList.productHint')}
        value={form.values.prices}
        onChange={(rows) => form.setFieldValue('prices', rows)}
        error={form.errors.prices}
      />
      <Switch label={t('field.active')} {...form.getInputProps('active', { type: 'checkbox' })} />
    </FormDialog>
  );
}
