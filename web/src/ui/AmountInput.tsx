import { NumberInput, type NumberInputProps } from '@mantine/core';
import { useLocale } from '../lib/i18n';

/** A number that is not negative, typed with the decimal sign of the person's language. */
export function AmountInput(props: NumberInputProps) {
  const german = useLocale().startsWith('de');
  return (
    <NumberInput
      min={0}
      hideControls
      decimalSeparator={german ? ',' : '.'}
      // Either sign is taken: many type a point on the number pad.
      allowedDecimalSeparators={[',', '.']}
      decimalScale={9}
      inputMode="decimal"
      {...props}
    />
  );
}

/** What a number field that may stay empty sends. */
export function numberOr<T>(value: number | string, empty: T): number | T {
  return typeof value === 'number' ? value : value.trim() === '' ? empty : Number(value);
}
