import { useTranslation } from 'react-i18next';
import type { UserRecord } from '../../api/types';
import { formatMoney } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import type { Question } from '../../ui/confirm';
import { notifyDone } from '../../ui/notify';
import { useUserActions } from './actions';

/** The questions asked before a user's status or budget changes; each names the user and the effect. */
export function useUserQuestions() {
  const { t } = useTranslation();
  const locale = useLocale();
  const actions = useUserActions();
  const nameOf = (user: UserRecord) => user.name || user.email;
  const setStatus = async (user: UserRecord, status: 'active' | 'suspended') => {
    await actions.setStatus(user.id, status);
    notifyDone(t('users.statusDone', { name: nameOf(user), status: t(`userStatus.${status}`) }));
  };
  return {
    suspend: (user: UserRecord): Question => ({
      title: t('users.suspendTitle', { name: nameOf(user) }),
      text: t('users.suspendText', { name: nameOf(user) }),
      action: t('users.suspend'),
      danger: true,
      run: () => setStatus(user, 'suspended'),
    }),
    activate: (user: UserRecord): Question => ({
      title: t('users.activateTitle', { name: nameOf(user) }),
      text: t('users.activateText', { name: nameOf(user) }),
      action: t('users.activate'),
      run: () => setStatus(user, 'active'),
    }),
    resetBudget: (user: UserRecord): Question => ({
      title: t('users.resetTitle', { name: nameOf(user) }),
      text: t('users.resetText', {
        name: nameOf(user),
        used: formatMoney(user.budget_used, user.budget_currency, locale),
        total: formatMoney(user.budget_total, user.budget_currency, locale),
      }),
      action: t('users.resetBudget'),
      run: async () => {
        await actions.resetBudget(user.id);
        notifyDone(t('users.resetDone', { name: nameOf(user) }));
      },
    }),
  };
}
