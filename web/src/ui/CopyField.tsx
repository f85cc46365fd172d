import { TextInput } from '@mantine/core';
import { CopyIcon } from './CopyIcon';

/** A read-only value with a button that copies it. */
export function CopyField({ label, value }: { label: string; value: string }) {
  return (
    <TextInput
      label={label}
      value={value}
      readOnly
      onFocus={(event) => event.currentTarget.select()}
      styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
      rightSection={<CopyIcon value={value} label={label} />}
    />
  );
}
