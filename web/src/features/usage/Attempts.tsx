import { Table, Text } from '@mantine/core';
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
      <Table verticalSpacing={4} fz="xs" aria-label={t('usage.attempts')}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('field.model')}</Table.Th>
            <Table.Th>{t('field.providerKey')}</Table.Th>
            <Table.Th>{t('usage.outcome')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {attempts.map((attempt, index) => {
            const details = [
              attempt.status ? t('providerKeys.testStatus', { status: attempt.status }) : '',
              attempt.took_ms === undefined ? '' : formatMilliseconds(attempt.took_ms, locale),
              attempt.wait_ms === undefined
                ? ''
                : t('usage.waits', { time: formatMilliseconds(attempt.wait_ms, locale) }),
            ].filter(Boolean);
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: the list never changes
              <Table.Tr key={index}>
                <Table.Td style={{ overflowWrap: 'anywhere' }}>
                  {[attempt.for, attempt.model].filter(Boolean).join(' → ')}
                </Table.Td>
                <Table.Td style={{ overflowWrap: 'anywhere' }}>
                  {attempt.provider_key ? keyName(attempt.provider_key) : '–'}
                </Table.Td>
                <Table.Td>
                  {t(`usage.tried.${attempt.outcome}`, { defaultValue: attempt.outcome })}
                  {details.length > 0 && (
                    <Text size="xs" c="dimmed">
                      {details.join(' · ')}
                    </Text>
                  )}
                </Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </>
  );
}
