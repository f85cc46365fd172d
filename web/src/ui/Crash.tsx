import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useEffect } from 'react';
import { useTranslation } from 'react-i18next';
import { errorMessage } from '../api/errors';
import { isPartMissing, reloadFromServer } from '../lib/parts';
import { EmptyState } from './EmptyState';

const RELOADED = 'cf_reloaded';
/** A page that is missing a part again so soon after a reload is not helped by another. */
const RELOAD_AGAIN_MS = 60_000;

/** What is shown when a page cannot be drawn, most often because the server cannot be reached. */
export function Crash({ error }: { error: unknown }) {
  const { t } = useTranslation();
  const { mutate, isPending, error: failure } = useMutation({ mutationFn: reloadFromServer });
  const partMissing = isPartMissing(error);
  // A newer version of the program has other parts: it is fetched without asking.
  useEffect(() => {
    const last = Number(sessionStorage.getItem(RELOADED) ?? 0);
    if (!partMissing || Date.now() - last < RELOAD_AGAIN_MS) return;
    sessionStorage.setItem(RELOADED, String(Date.now()));
    mutate();
  }, [partMissing, mutate]);
  return (
    <EmptyState title={t('common.crashTitle')} hint={errorMessage(failure ?? error, t)}>
      <Button variant="default" loading={isPending} onClick={() => mutate()}>
        {t('common.retry')}
      </Button>
    </EmptyState>
  );
}
