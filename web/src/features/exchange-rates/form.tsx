import { SimpleGrid, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { useSaveRecord } from '../../api/records';
import type { ExchangeRateRecord } from '../../api/types';
import { isoDay } from '../../lib/format';
import { required } from '../../lib/validate';
import { AmountInput, numberOr } from '../../ui/AmountInput';
import { CurrencySelect } from '../../ui/CurrencySelect';
import { FormDialog } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';

export function ExchangeRateForm({ record, onClose }: { record?: ExchangeRateRecord; onClose: () => void }) {
  const { t } = useTranslation();
  const save = useSaveRecord('exchange_rates');
  const form = useForm({
    initialValues: {
      base: record?.base ?? 'USD',
      quote: record?.quote ?? 'EUR',
      rate: (record?.rate ?? '') as number | string,
      date: record?.date?.slice(0, 10) ?? isoDay(new Date()),
      source: record?.source ?? '',
    },
    validate: {
      rate: (value) => (numberOr(value, 0) > 0 ? null : t('validation.positive')),
      date: required(t),
    },
  });
  return (
    <FormDialog
      title={t('rates.new')}
      form={form}
      size="md"
      onClose={onClose}
      onSubmit={async (values) => {
        await save.mutateAsync({
          id: record?.id,
          body: { ...values, rate: numberOr(values.rate, 0), source: values.source || 'manual' },
        });
        notifyDone(t('common.saved'));
        onClose();
      }}
    >
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <CurrencySelect label={t('field.base')} {...form.getInputProps('base')} />
        <CurrencySelect label={t('field.quote')} {...form.getInputProps('quote')} />
        <AmountInput
          label={t('field.rate')}
          description={t('rates.rateHint')}
          required
          data-autofocus
          {...form.getInputProps('rate')}
        />
        <TextInput type="date" label={t('field.date')} required {...form.getInputProps('date')} />
      </SimpleGrid>
      <TextInput
        label={t('field.source')}
        description={t('common.optional')}
        maxLength={200}
        {...form.getInputProps('source')}
      />
    </FormDialog>
  );
}
