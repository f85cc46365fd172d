import { List, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { useOptions } from '../../api/records';
import type { UsageAttempt } from '../../api/types';
import { formatMilliseconds } from '../../lib/format';
import { useLocale } from '../../lib/i18n';

/** What a call tried, in order, and why the next was taken; for administrators. */
export function Attempts({ attempts }: { attempts: UsageAttempt[] }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const keys = useOptions('provider_keys');
  const keyName = (id: string) => keys.data?.find((key) => key.id === id)?.name ?? id;
  return (
    <>
      <Text size="sm" fw={600} mt="md" mb={4}>
        {t('usage.attempts')}
      </Text>
      <List type="ordered" size="sm" spacing="xs" aria-label={t('usage.attempts')}>
        {attempts.map((attempt, index) => {
          const details = [
            t(`usage.tried.${attempt.outcome}`, { defaultValue: attempt.outcome }),
            attempt.status ? t('providerKeys.testStatus', { status: attempt.status }) : '',
            attempt.took_ms === undefined ? '' : formatMilliseconds(attempt.took_ms, locale),
            attempt.wait_ms === undefined
              ? ''
              : t('usage.waits', { time: formatMilliseconds(attempt.wait_ms, locale) }),
          ];
          const where = [
            [attempt.for, attempt.model].filter(Boolean).join(' → '),
            attempt.provider_key && keyName(attempt.provider_key),
          ];
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: the list never changes
            <List.Item key={index}>
              {details.filter(Boolean).join(' · ')}
              <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
                {where.filter(Boolean).join(' · ')}
              </Text>
            </List.Item>
          );
        })}
      </List>
    </>
  );
}
