import { useNavigate, useSearch } from '@tanstack/react-router';

/** What the address of a list holds: page, order, search text, filters and the entry that is open for editing. */
export interface ListSearch {
  page?: number;
  sort?: string;
  q?: string;
  /** `new` or the id of a record. */
  edit?: string;
  status?: string;
  tenant?: string;
  user?: string;
  model?: string;
  from?: string;
  to?: string;
  group?: string;
}

const TEXTS = ['sort', 'q', 'edit', 'status', 'tenant', 'user', 'model', 'from', 'to', 'group'] as const;

/** Takes what is well-formed from an address and drops the rest. */
export function parseListSearch(search: Record<string, unknown>): ListSearch {
  const result: ListSearch = {};
  const page = Number(search.page);
  if (Number.isInteger(page) && page > 1) result.page = page;
  for (const name of TEXTS) {
    const value = search[name];
    if ((typeof value === 'string' || typeof value === 'number') && value !== '')
      result[name] = String(value).slice(0, 200);
  }
  return result;
}

/** The list's address as state. A changed filter starts again at the first page. */
export function useListSearch() {
  const search = useSearch({ strict: false }) as ListSearch;
  const navigate = useNavigate();
  const set = (patch: ListSearch) =>
    void navigate({
      to: '.',
      search: (previous: Record<string, unknown>) =>
        parseListSearch({ ...previous, page: undefined, ...patch }) as never,
      replace: !('edit' in patch),
    });
  return {
    search,
    set,
    setPage: (page: number) => set({ page }),
    setSort: (sort: string) => set({ sort }),
    openEdit: (edit: string) => set({ edit, page: search.page }),
    closeEdit: () => set({ edit: undefined, page: search.page }),
  };
}
