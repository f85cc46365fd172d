import { useTranslation } from 'react-i18next';
import { MAIN, type Period } from './queries';

/** What budgets and their periods are called. */
export function useBudgetWords() {
  const { t } = useTranslation();
  return {
    name: (window: string) => (window === MAIN ? t('budgets.main') : window),
    period: (period: Period, days: number) =>
      period === 'days' ? t('budgets.everyDays', { count: days }) : t(`budgets.period.${period}`),
  };
}
