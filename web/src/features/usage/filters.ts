import { all, quote } from '../../api/filter';
import { isoDay } from '../../lib/format';
import type { ListSearch } from '../../lib/listSearch';

const DEFAULT_DAYS = 30;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** The period of the page: as in the address, else the last 30 days. */
export function periodOf(search: ListSearch, now: Date): { from: string; to: string } {
  const from = search.from && DAY.test(search.from) ? search.from : isoDay(now, DEFAULT_DAYS - 1);
  const to = search.to && DAY.test(search.to) ? search.to : isoDay(now);
  return { from, to };
}

export function usageFilter(
  search: ListSearch,
  period: { from: string; to: string },
  ownId: string | undefined,
): string {
  const user = ownId ?? search.user;
  return all(
    `created >= ${quote(`${period.from} 00:00:00.000Z`)}`,
    `created <= ${quote(`${period.to} 23:59:59.999Z`)}`,
    user && `user_id = ${quote(user)}`,
    search.model && `model = ${quote(search.model)}`,
    search.status && `status = ${quote(search.status)}`,
  );
}
