import { TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { UserRecord } from '../../api/types';
import { formatMoney } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { AmountInput, numberOr } from '../../ui/AmountInput';
import { FormDialog } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';
import { useUserActions } from './actions';

export function TopUpDialog({ user, onClose }: { user: UserRecord; onClose: () => void }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const actions = useUserActions();
  const [key] = useState(() => `portal-${crypto.getRandomValues(new Uint32Array(4)).join('-')}`);
  const currency = user.budget_currency || 'EUR';
  const form = useForm({
    initialValues: { amount: '' as number | string, note: '' },
    validate: { amount: (value) => (numberOr(value, 0) > 0 ? null : t('validation.positive')) },
  });
  return (
    <FormDialog
      title={t('users.topUpTitle', { name: user.name || user.email })}
      form={form}
      size="md"
      submitLabel={t('users.topUp')}
      onClose={onClose}
      onSubmit={async ({ amount, note }) => {
        await actions.topUp({ id: user.id, key, amount: numberOr(amount, 0), currency, note });
        notifyDone(t('users.topUpDone', { amount: formatMoney(numberOr(amount, 0), currency, locale) }));
        onClose();
      }}
    >
      <AmountInput
        label={t('field.amount')}
        description={currency}
        required
        data-autofocus
        {...form.getInputProps('amount')}
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
