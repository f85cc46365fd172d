import { ActionIcon, Button, ScrollArea, Stack, Text, UnstyledButton } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import { useConfirm } from '../../ui/confirm';
import classes from './Chat.module.css';
import type { Chat } from './chats';

interface HistoryProps {
  chats: Chat[];
  activeId: string | undefined;
  onOpen: (id: string | undefined) => void;
  onRemove: (id: string) => void;
}

export function History({ chats, activeId, onOpen, onRemove }: HistoryProps) {
  const { t } = useTranslation();
  const [ask, dialog] = useConfirm();
  const askRemove = (chat: Chat) =>
    ask({
      title: t('chat.deleteTitle'),
      text: t('chat.deleteText', { title: chat.title }),
      action: t('common.delete'),
      danger: true,
      run: async () => onRemove(chat.id),
    });
  return (
    <>
      <Button
        variant="default"
        leftSection={<IconPlus size={16} aria-hidden />}
        onClick={() => onOpen(undefined)}
        mb="sm"
      >
        {t('chat.newChat')}
      </Button>
      <ScrollArea
        style={{ flex: 1 }}
        type="auto"
        offsetScrollbars="present"
        styles={{ content: { minWidth: 0, display: 'block' } }}
      >
        {chats.length === 0 && (
          <Text size="sm" c="dimmed" px="xs">
            {t('chat.historyEmpty')}
          </Text>
        )}
        <Stack gap={2} component="ul" p={0} m={0} style={{ listStyle: 'none' }}>
          {chats.map((chat) => (
            <li key={chat.id} className={classes.entry} data-active={chat.id === activeId || undefined}>
              <UnstyledButton
                className={classes.entryTitle}
                onClick={() => onOpen(chat.id)}
                aria-current={chat.id === activeId ? 'page' : undefined}
                title={chat.title}
              >
                {chat.title}
              </UnstyledButton>
              <ActionIcon
                variant="subtle"
                color="gray"
                onClick={() => askRemove(chat)}
                aria-label={t('chat.deleteChat', { title: chat.title })}
              >
                <IconTrash size={15} />
              </ActionIcon>
            </li>
          ))}
        </Stack>
      </ScrollArea>
      {chats.length > 0 && (
        <Text size="xs" c="dimmed" mt="xs">
          {t('chat.historyNote')}
        </Text>
      )}
      {dialog}
    </>
  );
}
