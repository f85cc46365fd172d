import { Select, type SelectProps } from '@mantine/core';
import { useTranslation } from 'react-i18next';

const CURRENCIES = ['EUR', 'USD', 'CHF', 'GBP'];

export function CurrencySelect(props: Omit<SelectProps, 'data'>) {
  const { t } = useTranslation();
  return <Select label={t('field.currency')} allowDeselect={false} data={CURRENCIES} {...props} />;
}
