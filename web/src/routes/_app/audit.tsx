import { createFileRoute } from '@tanstack/react-router';
import { AuditPage } from '../../features/audit/AuditPage';
import { parseListSearch } from '../../lib/listSearch';

export const Route = createFileRoute('/_app/audit')({
  validateSearch: parseListSearch,
  component: AuditPage,
});
