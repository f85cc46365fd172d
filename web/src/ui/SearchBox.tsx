import { TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';

/** Searches while typing, a moment after the last key. */
export function SearchBox({
  value,
  onSearch,
  label,
}: {
  value: string;
  onSearch: (text: string) => void;
  label?: string;
}) {
  const { t } = useTranslation();
  const search = useDebouncedCallback(onSearch, 300);
  return (
    <TextInput
      type="search"
      aria-label={label ?? t('common.search')}
      placeholder={label ?? t('common.search')}
      defaultValue={value}
      onChange={(event) => search(event.currentTarget.value)}
      leftSection={<IconSearch size={16} aria-hidden />}
      maxLength={200}
      style={{ flex: '1 1 220px', maxWidth: 380 }}
    />
  );
}
