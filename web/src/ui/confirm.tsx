import { Button, Group, Modal, Stack, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { ErrorNote } from './ErrorNote';

export interface Question {
  title: string;
  text: ReactNode;
  /** The word on the button that does it. */
  action: string;
  danger?: boolean;
  run: () => Promise<unknown>;
}

/**
 * Asks before something happens, does it, and stays open with the server's sentence if it fails.
 * Returns the function that asks and the dialog to place on the page.
 */
export function useConfirm(): [(question: Question) => void, ReactNode] {
  const { t } = useTranslation();
  const [question, setQuestion] = useState<Question | null>(null);
  const [opened, setOpened] = useState(false);
  const act = useMutation({ mutationFn: async () => question?.run(), onSuccess: () => setOpened(false) });
  const ask = (next: Question) => {
    act.reset();
    setQuestion(next);
    setOpened(true);
  };
  const dialog = (
    <Modal
      opened={opened}
      onClose={() => setOpened(false)}
      title={question?.title}
      closeButtonProps={{ 'aria-label': t('common.close') }}
    >
      <Stack>
        <Text size="sm" component="div">
          {question?.text}
        </Text>
        <ErrorNote error={act.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={() => setOpened(false)}>
            {t('common.cancel')}
          </Button>
          <Button
            color={question?.danger ? 'red' : undefined}
            loading={act.isPending}
            onClick={() => act.mutate()}
          >
            {question?.action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
  return [ask, dialog];
}
