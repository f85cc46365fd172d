import { Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { formatDate } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { useForecasts } from './forecasts';
import { MAIN } from './queries';

/** "At this pace used up on the 24th", where that can be said; nothing otherwise. */
export function Forecast({ collection, owner }: { collection: 'users' | 'tenants'; owner: string }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const budgets = useForecasts(collection, owner);
  return budgets.data?.map(({ window, forecast }) => {
    if (forecast.state === 'unknown') return null;
    const text = t(`budget.forecast.${forecast.state}`, { date: formatDate(forecast.at, locale) });
    return (
      <Text
        key={window}
        size="xs"
        c={forecast.state === 'lasts' ? 'dimmed' : forecast.state === 'used_up' ? 'red' : undefined}
      >
        {window === MAIN ? text : `${window}: ${text}`}
      </Text>
    );
  });
}
