import { Alert, Anchor } from '@mantine/core';
import { createFileRoute, Link, redirect, useRouter } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { SignInForm } from '../features/session/SignInForm';
import { getSession } from '../lib/session';
import { CardPage } from '../ui/CardPage';

export const Route = createFileRoute('/login')({
  validateSearch: (search: Record<string, unknown>): { to?: string } =>
    // Only a path of this page may follow the sign-in, never an address of somebody else.
    typeof search.to === 'string' && /^\/(?![/\\])/.test(search.to) ? { to: search.to } : {},
  beforeLoad: ({ context }) => {
    if (context.info.component === 'chat') throw redirect({ to: '/chat' });
    if (getSession()) throw redirect({ to: '/' });
  },
  component: Login,
});

function Login() {
  const { t } = useTranslation();
  const { to } = Route.useSearch();
  const { info } = Route.useRouteContext();
  const router = useRouter();
  return (
    <CardPage title={t('login.title')} lead={t('login.lead')}>
      {info.setup_required && <Alert color="yellow">{t('login.setupRequired')}</Alert>}
      <SignInForm trySuperuser onDone={() => router.history.push(to ?? '/')} />
      <Anchor component={Link} to="/reset-password" size="sm">
        {t('login.forgot')}
      </Anchor>
    </CardPage>
  );
}
