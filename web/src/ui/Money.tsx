import { formatMoney } from '../lib/format';
import { useLocale } from '../lib/i18n';

export function Money({ value, currency }: { value: number | null | undefined; currency?: string }) {
  const locale = useLocale();
  return (
    <span style={{ whiteSpace: 'nowrap', fontVariantNumeric: 'tabular-nums' }}>
      {formatMoney(value, currency, locale)}
    </span>
  );
}
