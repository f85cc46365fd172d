import { ActionIcon, Indicator } from '@mantine/core';
import { IconBell } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { useUnread } from './queries';

/** Leads to the notifications and says how many are unread. */
export function Bell() {
  const { t } = useTranslation();
  const unread = useUnread().data ?? 0;
  return (
    <Indicator label={unread > 99 ? '99+' : unread} size={16} offset={6} color="red" disabled={unread === 0}>
      <ActionIcon
        component={Link}
        to="/notifications"
        variant="subtle"
        color="gray"
        size="md"
        aria-label={unread > 0 ? t('notices.bellUnread', { count: unread }) : t('notices.title')}
      >
        <IconBell size={20} aria-hidden />
      </ActionIcon>
    </Indicator>
  );
}
