import { Alert, Button } from '@mantine/core';
import { createFileRoute } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { ChatPage } from '../features/chat/ChatPage';
import { ChatSignIn } from '../features/chat/ChatSignIn';
import { signOut, useSession } from '../lib/session';
import { CardPage } from '../ui/CardPage';

export const Route = createFileRoute('/chat')({
  validateSearch: (search: Record<string, unknown>): { c?: string } =>
    search.c === undefined ? {} : { c: String(search.c).slice(0, 40) },
  component: Chat,
});

function Chat() {
  const { t } = useTranslation();
  const { info } = Route.useRouteContext();
  const { c } = Route.useSearch();
  const session = useSession();
  if (!session) return <ChatSignIn tenant={info.tenant} />;
  if (session.superuser) {
    return (
      <CardPage title={t('chat.title')}>
        <Alert color="yellow">{t('chat.superuser')}</Alert>
        <Button variant="default" onClick={signOut}>
          {t('common.signOut')}
        </Button>
      </CardPage>
    );
  }
  return <ChatPage key={session.id} info={info} session={session} chatId={c} />;
}
