import { Select, type SelectProps } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { errorMessage } from '../api/errors';
import { useOptions } from '../api/records';

type RecordSelectProps = Omit<SelectProps, 'data' | 'value' | 'onChange'> & {
  collection: 'tenants' | 'products' | 'provider_keys' | 'models';
  value?: string;
  onChange?: (id: string) => void;
};

/** Chooses a record by its name. The value is its id; nothing chosen is the empty string. */
export function RecordSelect({ collection, value, onChange, ...rest }: RecordSelectProps) {
  const { t } = useTranslation();
  const options = useOptions(collection);
  return (
    <Select
      searchable
      nothingFoundMessage={t('common.nothingFound')}
      allowDeselect={false}
      data={options.data?.map((record) => ({ value: record.id, label: record.name })) ?? []}
      value={value || null}
      onChange={(id) => onChange?.(id ?? '')}
      {...rest}
      error={rest.error ?? (options.error ? errorMessage(options.error, t) : undefined)}
    />
  );
}
