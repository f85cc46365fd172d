import type { TFunction } from 'i18next';
import type { NotificationRecord } from '../../api/types';
import { formatDate, formatMoney } from '../../lib/format';
import { troubleText } from '../provider-keys/trouble';

/** What a notification says, in the reader's language where it is of a known kind. Whose budget it is depends on who reads it. */
export function noticeText(record: NotificationRecord, reader: string, t: TFunction, locale: string) {
  const data = record.data;
  if (record.kind === 'provider_key' && data?.trouble) {
    const trouble = [data.trouble, data.model].filter(Boolean).join(' ');
    return {
      title: t('notices.keyTrouble', { name: data.name ?? '' }),
      body: troubleText(trouble, t),
    };
  }
  if (record.kind !== 'budget_notice' || typeof data?.percent !== 'number')
    return { title: record.title, body: record.body };
  const amounts = {
    name: data.name ?? '',
    percent: data.percent,
    used: formatMoney(data.used, data.currency, locale),
    total: formatMoney(data.limit, data.currency, locale),
  };
  const whose = data.owner_id === reader ? 'Own' : 'Of';
  const title =
    data.percent >= 100 ? t(`notices.usedUp${whose}`, amounts) : t(`notices.percent${whose}`, amounts);
  const body = [t('budget.of', amounts)];
  if (data.percent < 100 && data.forecast === 'used_up_at')
    body.push(t('budget.forecast.used_up_at', { date: formatDate(data.used_up_at, locale) }));
  if (data.period_end) body.push(t('budget.resets', { date: formatDate(data.period_end, locale) }));
  return { title, body: body.join(' · ') };
}
