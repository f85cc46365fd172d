import { AppShell, Badge, Burger, Button, Group, NavLink, ScrollArea, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconLogout, IconMessage, IconUser } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Navigate, Outlet, useLocation, useNavigate } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { infoQuery } from '../../api/info';
import { signOut, useSession, useSignedIn } from '../../lib/session';
import { mayOpen, NAV } from '../../nav';
import { Brand } from '../../ui/Brand';
import { EmptyState } from '../../ui/EmptyState';
import { LanguageMenu } from '../../ui/LanguageMenu';
import { SchemeToggle } from '../../ui/SchemeToggle';
import { Bell } from '../notices/Bell';

/** The frame of the portal: header, navigation by role, and the page if the role may see it. */
export function Shell() {
  const { t } = useTranslation();
  const [opened, { toggle, close }] = useDisclosure();
  const session = useSession();
  const path = useLocation({ select: (location) => location.pathname });
  // Signed out here or in another tab.
  if (!session) return <Navigate to="/login" />;
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 232, breakpoint: 'sm', collapsed: { mobile: !opened } }}
      padding={{ base: 'md', sm: 'lg' }}
    >
      <a className="skip-link" href="#content">
        {t('common.skipToContent')}
      </a>
      <AppShell.Header>
        <Group h="100%" px={{ base: 'xs', sm: 'md' }} justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap" style={{ minWidth: 0 }}>
            <Burger
              opened={opened}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label={t('common.toggleNavigation')}
              aria-expanded={opened}
            />
            <Brand />
            <DemoBadge />
          </Group>
          <Group gap={4} wrap="nowrap">
            <Bell />
            <LanguageMenu />
            <SchemeToggle />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" aria-label={t('common.mainNavigation')}>
        <AppShell.Section grow component={ScrollArea}>
          <Navigation onNavigate={close} />
        </AppShell.Section>
        <AppShell.Section pt="sm" style={{ borderTop: '1px solid var(--mantine-color-default-border)' }}>
          <Person onNavigate={close} />
        </AppShell.Section>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1} style={{ outline: 'none' }}>
        <div style={{ maxWidth: 1240, margin: '0 auto' }}>
          {mayOpen(path, session.role) ? (
            <Outlet />
          ) : (
            <EmptyState title={t('common.notAllowedTitle')} hint={t('common.notAllowed')} />
          )}
        </div>
      </AppShell.Main>
    </AppShell>
  );
}

function Version() {
  const { t } = useTranslation();
  const info = useQuery(infoQuery);
  return (
    <Text size="xs" c="dimmed" px="xs">
      {info.data && t('common.version', { version: info.data.version })}
    </Text>
  );
}

function DemoBadge() {
  const { t } = useTranslation();
  const info = useQuery(infoQuery);
  return info.data?.demo ? (
    <Badge variant="dot" color="yellow" tt="none" visibleFrom="xs" style={{ flexShrink: 0 }}>
      {t('common.demo')}
    </Badge>
  ) : null;
}

function Navigation({ onNavigate }: { onNavigate: () => void }) {
  const { t } = useTranslation();
  const session = useSignedIn();
  const path = useLocation({ select: (location) => location.pathname });
  return (
    <Stack gap={2}>
      {NAV.filter((item) => item.icon && item.roles.includes(session.role)).map((item) => {
        const Icon = item.icon;
        const label = item.to === '/' && session.role === 'user' ? t('nav.overview') : t(`nav.${item.label}`);
        const active = item.to === '/' ? path === '/' : path === item.to || path.startsWith(`${item.to}/`);
        return (
          <NavLink
            key={item.to}
            component={Link}
            to={item.to}
            label={label}
            active={active}
            aria-current={active ? 'page' : undefined}
            onClick={onNavigate}
            leftSection={Icon && <Icon size={18} aria-hidden />}
            style={{ borderRadius: 'var(--mantine-radius-md)' }}
          />
        );
      })}
      {!session.superuser && (
        <NavLink
          component={Link}
          to="/chat"
          label={t('nav.chat')}
          leftSection={<IconMessage size={18} aria-hidden />}
          style={{ borderRadius: 'var(--mantine-radius-md)' }}
        />
      )}
    </Stack>
  );
}

function Person({ onNavigate }: { onNavigate: () => void }) {
  const { t } = useTranslation();
  const session = useSignedIn();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const leave = async () => {
    signOut();
    await navigate({ to: '/login' });
    queries.removeQueries({ predicate: (query) => query.queryKey[0] !== 'info' });
  };
  return (
    <Stack gap={4}>
      <NavLink
        component={Link}
        to="/account"
        title={t('nav.account')}
        label={
          <Text size="sm" fw={600} truncate>
            {session.name}
          </Text>
        }
        description={`${session.email} · ${t(`role.${session.role}`)}`}
        leftSection={<IconUser size={18} aria-hidden />}
        onClick={onNavigate}
        style={{ borderRadius: 'var(--mantine-radius-md)' }}
        styles={{ description: { overflowWrap: 'anywhere' }, body: { minWidth: 0 } }}
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
      <Version />
    </Stack>
  );
}
