import { Modal, Table } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { UsageLogRecord } from '../../api/types';
import { formatDate, formatDateTime, formatMilliseconds, formatMoney, formatNumber } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { Attempts } from './Attempts';
import { Prompt } from './Prompt';
import { providerName } from './provider';

/** What the provider takes and what is left of the price, in US dollars: for those who may see it. */
function margin(call: UsageLogRecord): ['providerCost' | 'margin', number][] {
  if (call.provider_cost === undefined) return [];
  const rows: ['providerCost' | 'margin', number][] = [['providerCost', call.provider_cost]];
  if (call.exchange_rate) rows.push(['margin', call.cost / call.exchange_rate - call.provider_cost]);
  return rows;
}

/** Everything that is needed to recompute the cost of one call. */
export function CallDetails({ call, onClose }: { call: UsageLogRecord | null; onClose: () => void }) {
  const { t } = useTranslation();
  const locale = useLocale();
  if (!call) return null;
  const rows: [string, string][] = [
    [t('field.user'), call.expand?.user_id?.email ?? call.user_id],
    [t('field.model'), call.model],
    [t('field.modelUsed'), [call.model_used, providerName(call.provider, t)].filter(Boolean).join(' · ')],
    [t('field.status'), t(`usageStatus.${call.status}`, { defaultValue: call.status })],
    [t('field.promptTokens'), formatNumber(call.prompt_tokens, locale)],
    [t('field.cachedTokens'), formatNumber(call.cached_tokens, locale)],
    [
      t('field.completionTokens'),
      formatNumber(call.completion_tokens, locale) + (call.estimated ? ` (${t('usage.estimated')})` : ''),
    ],
    [t('field.cost'), formatMoney(call.cost, call.currency, locale)],
    ...margin(call).map(([label, value]): [string, string] => [
      t(`field.${label}`),
      formatMoney(value, 'USD', locale),
    ]),
    [t('field.priceVersion'), call.price_version ? String(call.price_version) : '–'],
    [
      t('field.exchangeRate'),
      call.exchange_rate
        ? `${formatNumber(call.exchange_rate, locale)} (${formatDate(call.exchange_rate_date, locale)})`
        : '–',
    ],
    [t('field.firstToken'), formatMilliseconds(call.time_to_first_token_ms, locale)],
    [t('field.duration'), formatMilliseconds(call.latency_ms, locale)],
    [t('field.requestId'), call.request_id || '–'],
  ];
  return (
    <Modal
      opened
      onClose={onClose}
      title={t('usage.detailsTitle', { time: formatDateTime(call.created, locale) })}
      closeButtonProps={{ 'aria-label': t('common.close') }}
    >
      <Table verticalSpacing={4}>
        <Table.Tbody>
          {rows.map(([label, value]) => (
            <Table.Tr key={label}>
              <Table.Th fw={500}>{label}</Table.Th>
              <Table.Td style={{ overflowWrap: 'anywhere' }}>{value}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Prompt of={call} />
      {call.attempts && call.attempts.length > 0 && <Attempts attempts={call.attempts} />}
    </Modal>
  );
}
