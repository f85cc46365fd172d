import {
  AppShell,
  Badge,
  Burger,
  Button,
  Group,
  NavLink,
  Select,
  Stack,
  Text,
  Tooltip,
  VisuallyHidden,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconLogout, IconSettings } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import { useRealtime } from '../../api/realtime';
import { useRecord } from '../../api/records';
import type { ServerInfo, UserRecord } from '../../api/types';
import { formatMoney } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { type Session, signOut } from '../../lib/session';
import { Brand } from '../../ui/Brand';
import { EmptyState } from '../../ui/EmptyState';
import { ErrorNote } from '../../ui/ErrorNote';
import { LanguageMenu } from '../../ui/LanguageMenu';
import { SchemeToggle } from '../../ui/SchemeToggle';
import classes from './Chat.module.css';
import { Composer } from './Composer';
import { openChats } from './chats';
import { History } from './History';
import { Messages } from './Messages';
import { useModels } from './models';
import { portalAddress } from './portalAddress';
import { useChat } from './useChat';

interface ChatPageProps {
  info: ServerInfo;
  session: Session;
  chatId: string | undefined;
}

export function ChatPage({ info, session, chatId }: ChatPageProps) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [opened, { toggle, close }] = useDisclosure();
  const chats = useMemo(() => openChats(session.id, window.localStorage), [session.id]);
  const models = useModels(session.id);
  const budget = useBudget(session.id);
  const open = (id: string | undefined) => {
    void navigate({ to: '/chat', search: id ? { c: id } : {} });
    close();
  };
  const chat = useChat({
    chats,
    chatId,
    model: models.model,
    onChatId: open,
    onBudget: budget.set,
    onFinished: budget.refresh,
  });
  const leave = () => {
    chat.stop();
    signOut();
    queries.removeQueries({ predicate: (query) => query.queryKey[0] !== 'info' });
  };
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 270, breakpoint: 'sm', collapsed: { mobile: !opened } }}
    >
      <AppShell.Header>
        <Group h="100%" px="sm" justify="space-between" wrap="nowrap" gap="xs">
          <Group gap="xs" wrap="nowrap" style={{ minWidth: 0, flex: 1 }}>
            <Burger
              opened={opened}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label={t('chat.historyShow')}
              aria-expanded={opened}
            />
            <Group visibleFrom="sm" w={230} wrap="nowrap">
              <Brand name={info.tenant?.name} />
            </Group>
            <Select
              aria-label={t('chat.model')}
              data={models.names}
              value={models.model}
              onChange={(model) => model && models.choose(model)}
              allowDeselect={false}
              searchable={models.names.length > 8}
              placeholder={models.query.isPending ? t('common.loading') : t('chat.noModels')}
              disabled={models.names.length === 0}
              style={{ flex: 1, maxWidth: 280, minWidth: 0 }}
            />
          </Group>
          <Budget user={budget.user} />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" aria-label={t('chat.history')}>
        <History
          chats={chat.list}
          activeId={chatId}
          onOpen={open}
          onRemove={(id) => {
            chat.remove(id);
            if (id === chatId) open(undefined);
          }}
        />
        <Stack gap={2} pt="sm" mt="sm" style={{ borderTop: '1px solid var(--mantine-color-default-border)' }}>
          <Group justify="space-between" wrap="nowrap">
            <Text size="sm" truncate px="xs">
              {session.name}
            </Text>
            <Group gap={0} wrap="nowrap">
              <LanguageMenu />
              <SchemeToggle />
            </Group>
          </Group>
          <NavLink
            component="a"
            href={portalAddress(info, window.location)}
            label={t('chat.portal')}
            leftSection={<IconSettings size={18} aria-hidden />}
            style={{ borderRadius: 'var(--mantine-radius-md)' }}
          />
          <Button
            variant="subtle"
            color="gray"
            justify="flex-start"
            leftSection={<IconLogout size={18} aria-hidden />}
            onClick={leave}
          >
            {t('common.signOut')}
          </Button>
        </Stack>
      </AppShell.Navbar>
      <AppShell.Main className={classes.main}>
        <VisuallyHidden component="h1">{t('chat.title')}</VisuallyHidden>
        {models.query.error ? (
          <div className={classes.column} style={{ width: '100%' }}>
            <ErrorNote error={models.query.error} onRetry={() => models.query.refetch()} />
          </div>
        ) : (
          models.query.isSuccess &&
          models.names.length === 0 && <EmptyState title={t('chat.noModels')} hint={t('chat.noModelsHint')} />
        )}
        <Messages
          key={chatId ?? 'new'}
          messages={chat.chat?.messages ?? []}
          live={chat.live}
          error={chat.error}
          unanswered={chat.unanswered}
          onRetry={chat.retry}
        />
        <Composer
          busy={chat.busy}
          disabled={!models.model}
          keptDays={budget.user?.prompt_log_days ?? 0}
          onSend={chat.send}
          onStop={chat.stop}
        />
      </AppShell.Main>
    </AppShell>
  );
}

/** The user's record with its budget: told by the answer's header, by realtime, and read again after each answer. */
function useBudget(userId: string) {
  const queries = useQueryClient();
  const user = useRecord('users', userId);
  const key = ['users', 'one', userId, undefined];
  const refresh = () => void queries.invalidateQueries({ queryKey: ['users', 'one', userId] });
  useRealtime('users', userId, refresh);
  const set = (budget_remaining: number) =>
    queries.setQueryData<UserRecord>(key, (record) => record && { ...record, budget_remaining });
  return { user: user.data, refresh, set };
}

function Budget({ user }: { user: UserRecord | undefined }) {
  const { t } = useTranslation();
  const locale = useLocale();
  if (!user || user.budget_total <= 0) return null;
  const low = user.budget_remaining <= user.budget_total * 0.1;
  return (
    <Tooltip label={t('chat.remainingLabel')}>
      <Badge
        variant="light"
        color={low ? 'red' : undefined}
        size="lg"
        tt="none"
        fw={600}
        role="status"
        aria-label={t('chat.remainingLabel')}
        style={{ flexShrink: 0 }}
      >
        {t('chat.remaining', {
          amount: formatMoney(Math.max(0, user.budget_remaining), user.budget_currency, locale),
        })}
      </Badge>
    </Tooltip>
  );
}
