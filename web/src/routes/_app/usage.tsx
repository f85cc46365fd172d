import { createFileRoute } from '@tanstack/react-router';
import { UsagePage } from '../../features/usage/UsagePage';
import { parseListSearch } from '../../lib/listSearch';

export const Route = createFileRoute('/_app/usage')({
  validateSearch: parseListSearch,
  component: UsagePage,
});
