import { Progress, Stack, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { formatMoney } from '../lib/format';
import { useLocale } from '../lib/i18n';

export function BudgetBar({ used, total, currency }: { used: number; total: number; currency?: string }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const percent = total > 0 ? Math.min(100, Math.max(0, (used / total) * 100)) : 0;
  const color = percent >= 95 ? 'red' : percent >= 80 ? 'yellow' : undefined;
  return (
    <Stack gap={4} miw={130}>
      <Text size="xs" style={{ fontVariantNumeric: 'tabular-nums' }}>
        {t('budget.of', {
          used: formatMoney(used, currency, locale),
          total: formatMoney(total, currency, locale),
        })}
      </Text>
      <Progress
        value={percent}
        color={color}
        size="sm"
        aria-label={t('budget.label', { percent: Math.round(percent) })}
      />
    </Stack>
  );
}
