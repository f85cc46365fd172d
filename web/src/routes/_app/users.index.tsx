import { createFileRoute } from '@tanstack/react-router';
import { UsersPage } from '../../features/users/UsersPage';
import { parseListSearch } from '../../lib/listSearch';

export const Route = createFileRoute('/_app/users/')({
  validateSearch: parseListSearch,
  component: UsersPage,
});
