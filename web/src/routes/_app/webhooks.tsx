import { createFileRoute } from '@tanstack/react-router';
import { WebhooksPage } from '../../features/webhooks/WebhooksPage';
import { parseListSearch } from '../../lib/listSearch';

export const Route = createFileRoute('/_app/webhooks')({
  validateSearch: parseListSearch,
  component: WebhooksPage,
});
