import { Button } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { errorMessage } from '../api/errors';
import { EmptyState } from './EmptyState';

/** What is shown when a page cannot be drawn, most often because the server cannot be reached. */
export function Crash({ error }: { error: unknown }) {
  const { t } = useTranslation();
  return (
    <EmptyState title={t('common.crashTitle')} hint={errorMessage(error, t)}>
      <Button variant="default" onClick={() => window.location.reload()}>
        {t('common.reload')}
      </Button>
    </EmptyState>
  );
}
