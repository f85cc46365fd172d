import { ActionIcon, Alert, Button, CopyButton, Group, Stack, Text, Tooltip } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import { lazy, memo, Suspense, useLayoutEffect, useRef } from 'react';
import { useTranslation } from 'react-i18next';
import { errorMessage, RouterError } from '../../api/errors';
import { EmptyState } from '../../ui/EmptyState';
import classes from './Chat.module.css';
import type { Message } from './chats';
import type { Live } from './useChat';

const Markdown = lazy(() => import('./Markdown'));

/** How near to the end the reader has to be for the view to follow the answer. */
const NEAR_END_PX = 80;

interface MessagesProps {
  messages: Message[];
  live: Live | null;
  error: unknown;
  unanswered: boolean;
  onRetry: () => void;
}

export function Messages({ messages, live, error, unanswered, onRetry }: MessagesProps) {
  const { t } = useTranslation();
  const scroll = useRef<HTMLDivElement>(null);
  const follow = useRef(true);
  const count = messages.length;
  const lastRole = messages.at(-1)?.role;
  const length = live?.text.length ?? -1;
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is the growing text that moves the end
  useLayoutEffect(() => {
    const element = scroll.current;
    // Whoever sends a message wants to see what comes of it, wherever they were reading.
    if (lastRole === 'user' && length <= 0) follow.current = true;
    if (element && follow.current) element.scrollTop = element.scrollHeight;
  }, [count, length, lastRole, error]);
  const onScroll = () => {
    const element = scroll.current;
    if (element)
      follow.current = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END_PX;
  };
  const broken = error instanceof RouterError && error.code === 'stream_broken';
  return (
    <div className={classes.scroll} ref={scroll} onScroll={onScroll}>
      <Stack className={classes.column} gap="lg" role="log" aria-label={t('chat.title')} aria-busy={!!live}>
        {count === 0 && !live && <EmptyState title={t('chat.emptyTitle')} hint={t('chat.emptyHint')} />}
        {messages.map((message) => (
          <MessageView key={message.id} message={message} />
        ))}
        {live && <LiveAnswer live={live} />}
        {!live && (!!error || unanswered) && (
          <Group justify="flex-start">
            {error ? (
              <Alert color="red" role="alert" w="100%">
                <Text size="sm">{broken ? t('chat.streamBroken') : errorMessage(error, t)}</Text>
                <Button mt="sm" size="xs" variant="default" onClick={onRetry}>
                  {t('common.retry')}
                </Button>
              </Alert>
            ) : (
              <Button size="xs" variant="default" onClick={onRetry}>
                {t('common.retry')}
              </Button>
            )}
          </Group>
        )}
      </Stack>
    </div>
  );
}

function LiveAnswer({ live }: { live: Live }) {
  const { t } = useTranslation();
  return (
    <article aria-label={live.model}>
      <Text size="xs" c="dimmed" mb={4}>
        {live.model}
      </Text>
      {live.text && <Answer text={live.text} />}
      <span className={classes.cursor} role="status" aria-label={t('chat.thinking')} />
    </article>
  );
}

function Answer({ text }: { text: string }) {
  return (
    <Suspense fallback={<div style={{ whiteSpace: 'pre-wrap' }}>{text}</div>}>
      <Markdown text={text} />
    </Suspense>
  );
}

const MessageView = memo(function MessageView({ message }: { message: Message }) {
  const { t } = useTranslation();
  if (message.role === 'user') {
    return (
      <article className={classes.question} aria-label={t('chat.you')}>
        {message.text}
      </article>
    );
  }
  return (
    <article aria-label={message.model}>
      <Text size="xs" c="dimmed" mb={4}>
        {message.model}
      </Text>
      {message.text ? <Answer text={message.text} /> : <Text c="dimmed">{t('chat.emptyAnswer')}</Text>}
      <Group gap="xs" mt={4}>
        {message.text && <CopyAnswer text={message.text} />}
        {message.state === 'stopped' && (
          <Text size="xs" c="dimmed">
            {t('chat.stopped')}
          </Text>
        )}
        {message.state === 'length' && (
          <Text size="xs" c="dimmed">
            {t('chat.cutOff')}
          </Text>
        )}
        {message.state === 'failed' && (
          <Text size="xs" c="dimmed">
            {t('chat.streamBroken')}
          </Text>
        )}
      </Group>
    </article>
  );
});

function CopyAnswer({ text }: { text: string }) {
  const { t } = useTranslation();
  return (
    <CopyButton value={text}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? t('common.copied') : t('chat.copyAnswer')}>
          <ActionIcon
            variant="subtle"
            color={copied ? 'teal' : 'gray'}
            size="sm"
            onClick={copy}
            aria-label={t('chat.copyAnswer')}
          >
            {copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}
