import { Button } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { EmptyState } from './EmptyState';

export function NotFound() {
  const { t } = useTranslation();
  return (
    <EmptyState title={t('common.notFoundTitle')} hint={t('common.notFound')}>
      <Button component="a" href="/" variant="default">
        {t('common.toOverview')}
      </Button>
    </EmptyState>
  );
}
