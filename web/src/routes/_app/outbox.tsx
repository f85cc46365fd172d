import { createFileRoute } from '@tanstack/react-router';
import { OutboxPage } from '../../features/outbox/OutboxPage';
import { parseListSearch } from '../../lib/listSearch';

export const Route = createFileRoute('/_app/outbox')({
  validateSearch: parseListSearch,
  component: OutboxPage,
});
