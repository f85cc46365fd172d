import { Button, Group, Modal, Stack, Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { CopyField } from './CopyField';

export interface SecretSet {
  title: string;
  text: string;
  secrets: { label: string; value: string }[];
  /** How to use them. */
  example?: ReactNode;
}

/** Shows secrets that the server will not give out again. Only the button closes it, so that no stray click loses them. */
export function SecretOnce({ shown, onClose }: { shown: SecretSet | null; onClose: () => void }) {
  const { t } = useTranslation();
  return (
    <Modal
      opened={!!shown}
      onClose={onClose}
      title={shown?.title}
      closeOnClickOutside={false}
      closeOnEscape={false}
      withCloseButton={false}
      size="lg"
    >
      <Stack>
        <Text size="sm">{shown?.text}</Text>
        {shown?.secrets.map((secret) => (
          <CopyField key={secret.label} {...secret} />
        ))}
        {shown?.example}
        <Group justify="flex-end">
          <Button onClick={onClose} data-autofocus>
            {t('common.done')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
