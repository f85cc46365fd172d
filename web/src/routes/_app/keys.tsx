import { Stack, Title } from '@mantine/core';
import { createFileRoute } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { Example } from '../../features/keys/Example';
import { KeyTable } from '../../features/keys/KeyTable';
import { useSignedIn } from '../../lib/session';
import { EmptyState } from '../../ui/EmptyState';

export const Route = createFileRoute('/_app/keys')({ component: Keys });

function Keys() {
  const { t } = useTranslation();
  const session = useSignedIn();
  if (session.superuser) return <EmptyState title={t('keys.title')} hint={t('keys.superuser')} />;
  return (
    <>
      <KeyTable userId={session.id} />
      <Stack gap="xs" mt="xl">
        <Title order={2}>{t('keys.example')}</Title>
        <Example />
      </Stack>
    </>
  );
}
