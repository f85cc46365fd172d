import { createFileRoute } from '@tanstack/react-router';
import { StatementsPage } from '../../features/statements/StatementsPage';
import { parseListSearch } from '../../lib/listSearch';

export const Route = createFileRoute('/_app/statements')({
  validateSearch: parseListSearch,
  component: StatementsPage,
});
