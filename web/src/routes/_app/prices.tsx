import { createFileRoute } from '@tanstack/react-router';
import { PricesPage } from '../../features/prices/PricesPage';
import { parseListSearch } from '../../lib/listSearch';

export const Route = createFileRoute('/_app/prices')({
  validateSearch: parseListSearch,
  component: PricesPage,
});
