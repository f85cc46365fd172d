import { Select, type SelectProps } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { contains } from '../../api/filter';
import { useRecord, useRecordList } from '../../api/records';

type UserSelectProps = Omit<SelectProps, 'data' | 'value' | 'onChange'> & {
  value?: string;
  onChange: (id: string) => void;
};

/** Chooses one of many users; the server looks for what is typed. */
export function UserSelect({ value, onChange, ...rest }: UserSelectProps) {
  const { t } = useTranslation();
  const [text, setText] = useState('');
  const [search] = useDebouncedValue(text, 250);
  const chosen = useRecord('users', value);
  const found = useRecordList('users', {
    perPage: 20,
    sort: 'email',
    filter: contains(['email', 'name'], search),
  });
  const users = new Map(found.data?.items.map((user) => [user.id, user.email]));
  if (chosen.data) users.set(chosen.data.id, chosen.data.email);
  return (
    <Select
      searchable
      clearable
      nothingFoundMessage={t('common.nothingFound')}
      data={[...users].map(([id, label]) => ({ value: id, label }))}
      filter={({ options }) => options}
      value={value ?? null}
      onChange={(id) => onChange(id ?? '')}
      onSearchChange={(next) => setText(next === chosen.data?.email ? '' : next)}
      {...rest}
    />
  );
}
