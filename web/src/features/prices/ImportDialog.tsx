import { Button, FileInput, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { formatDate, isoDay } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { ErrorNote } from '../../ui/ErrorNote';
import { notifyDone } from '../../ui/notify';
import { Differences } from './Differences';
import { useProposal, useTakePrices } from './queries';

/** First the file and the day, then what would change, then it is taken. */
export function ImportDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const [file, setFile] = useState<File | null>(null);
  const [effective, setEffective] = useState(isoDay(new Date()));
  const proposal = useProposal();
  const take = useTakePrices();
  const shown = proposal.data;
  const isEmpty = shown && shown.added.length + shown.changed.length + shown.removed.length === 0;
  const error = take.error ?? proposal.error;
  // Another file or day is another difference.
  const forget = () => {
    proposal.reset();
    take.reset();
  };
  const confirm = () =>
    shown &&
    take.mutate(
      { file, effective, hash: shown.hash },
      {
        onSuccess: (taken) => {
          notifyDone(t('priceBook.taken', { date: formatDate(taken.effective, locale) }));
          onClose();
        },
      },
    );
  return (
    <Modal
      opened
      onClose={onClose}
      title={t('priceBook.import')}
      size="lg"
      closeOnClickOutside={false}
      closeButtonProps={{ 'aria-label': t('common.close') }}
    >
      <Stack>
        <FileInput
          label={t('priceBook.file')}
          description={t('priceBook.fileHint')}
          placeholder={t('priceBook.builtIn')}
          accept="application/json,.json"
          clearable
          value={file}
          onChange={(chosen) => {
            setFile(chosen);
            forget();
          }}
        />
        <TextInput
          type="date"
          label={t('priceBook.effective')}
          description={t('priceBook.effectiveHint')}
          min={isoDay(new Date())}
          value={effective}
          onChange={(event) => {
            setEffective(event.currentTarget.value);
            forget();
          }}
        />
        {error instanceof SyntaxError ? (
          <ErrorNote error={new Error(t('priceBook.notJson'))} />
        ) : (
          <ErrorNote error={error} />
        )}
        {isEmpty && <Text>{t('priceBook.nothing')}</Text>}
        {shown && !isEmpty && <Differences proposal={shown} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t('common.cancel')}
          </Button>
          {shown && !isEmpty ? (
            <Button onClick={confirm} loading={take.isPending}>
              {t('priceBook.take')}
            </Button>
          ) : (
            <Button onClick={() => proposal.mutate({ file, effective })} loading={proposal.isPending}>
              {t('priceBook.show')}
            </Button>
          )}
        </Group>
      </Stack>
    </Modal>
  );
}
