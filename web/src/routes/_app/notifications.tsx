import { createFileRoute } from '@tanstack/react-router';
import { NotificationsPage } from '../../features/notices/NotificationsPage';
import { parseListSearch } from '../../lib/listSearch';

export const Route = createFileRoute('/_app/notifications')({
  validateSearch: parseListSearch,
  component: NotificationsPage,
});
