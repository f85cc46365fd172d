import { Select, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { isoDay, lastMoment } from '../../lib/format';
import { AmountInput, numberOr } from '../../ui/AmountInput';
import { FormDialog } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';
import { type Budgets, type Owners, useBudgetActions } from './queries';
import { useBudgetWords } from './words';

interface Props {
  owners: Owners;
  id: string;
  budgets: Budgets;
  onClose: () => void;
}

export function IncreaseDialog({ owners, id, budgets, onClose }: Props) {
  const { t } = useTranslation();
  const words = useBudgetWords();
  const actions = useBudgetActions(owners, id);
  const [key] = useState(() => `portal-${crypto.getRandomValues(new Uint32Array(4)).join('-')}`);
  // What has no limit cannot be raised.
  const windows = budgets.windows.filter((window) => window.limit !== null);
  const form = useForm({
    initialValues: {
      window: windows[0]?.name ?? '',
      amount: '' as number | string,
      until: isoDay(new Date()),
      note: '',
    },
    validate: {
      amount: (value) => (numberOr(value, 0) > 0 ? null : t('validation.positive')),
      until: (value) => (lastMoment(value) > new Date() ? null : t('budgets.untilPast')),
    },
  });
  return (
    <FormDialog
      title={t('budgets.increaseTitle')}
      form={form}
      size="md"
      submitLabel={t('budgets.increase')}
      onClose={onClose}
      onSubmit={async ({ window, amount, until, note }) => {
        await actions.increase({
          key,
          window,
          amount: numberOr(amount, 0),
          currency: budgets.currency,
          until: lastMoment(until).toISOString(),
          note,
        });
        notifyDone(t('common.saved'));
        onClose();
      }}
    >
      {windows.length > 1 && (
        <Select
          label={t('field.budget')}
          allowDeselect={false}
          data={windows.map(({ name }) => ({ value: name, label: words.name(name) }))}
          {...form.getInputProps('window')}
        />
      )}
      <AmountInput
        label={t('field.amount')}
        description={budgets.currency}
        required
        data-autofocus
        {...form.getInputProps('amount')}
      />
      <TextInput
        type="date"
        label={t('budgets.until')}
        description={t('budgets.untilHint')}
        required
        {...form.getInputProps('until')}
      />
      <TextInput
        label={t('field.note')}
        description={t('common.optional')}
        maxLength={500}
        {...form.getInputProps('note')}
      />
    </FormDialog>
  );
}
