import { Button, Group, Text, Textarea } from '@mantine/core';
import { IconArrowUp, IconPlayerStopFilled } from '@tabler/icons-react';
import { type KeyboardEvent, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import classes from './Chat.module.css';

const MOST_CHARS = 200_000;

interface ComposerProps {
  busy: boolean;
  disabled: boolean;
  /** Days that the tenant keeps what is asked and answered. */
  keptDays: number;
  onSend: (text: string) => void;
  onStop: () => void;
}

export function Composer({ busy, disabled, keptDays, onSend, onStop }: ComposerProps) {
  const { t } = useTranslation();
  const [text, setText] = useState('');
  const input = useRef<HTMLTextAreaElement>(null);
  const ready = text.trim() !== '' && !busy && !disabled;
  const send = () => {
    if (!ready) return;
    onSend(text.trim());
    setText('');
    input.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // While an input method composes a character, Enter confirms it and must not send.
    if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send();
    }
  };
  return (
    <div className={classes.composer}>
      <Group align="flex-end" gap="xs" wrap="nowrap">
        <Textarea
          ref={input}
          aria-label={t('chat.message')}
          placeholder={t('chat.placeholder')}
          autosize
          autoFocus
          minRows={1}
          maxRows={8}
          maxLength={MOST_CHARS}
          size="md"
          style={{ flex: 1 }}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        {busy ? (
          <Button
            size="md"
            variant="default"
            onClick={onStop}
            leftSection={<IconPlayerStopFilled size={16} aria-hidden />}
          >
            {t('chat.stop')}
          </Button>
        ) : (
          <Button
            size="md"
            onClick={send}
            disabled={!ready}
            leftSection={<IconArrowUp size={16} aria-hidden />}
          >
            {t('chat.send')}
          </Button>
        )}
      </Group>
      {keptDays > 0 && (
        <Text size="xs" mt={4}>
          {t('prompts.kept', { count: keptDays })}
        </Text>
      )}
      <Text size="xs" c="dimmed" mt={4} visibleFrom="sm">
        {t('chat.keysHint')}
      </Text>
    </div>
  );
}
