import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { pb } from './client';
import type { CollectionName, Collections } from './types';

export const PAGE_SIZE = 25;
/** How many records a select offers at most. */
const OPTION_LIMIT = 500;

export interface ListOptions {
  page?: number;
  perPage?: number;
  sort?: string;
  filter?: string;
  expand?: string;
}

/** One page of a collection. The page before stays visible while the next one loads. */
export function useRecordList<C extends CollectionName>(
  collection: C,
  options: ListOptions = {},
  enabled = true,
) {
  const { page = 1, perPage = PAGE_SIZE, ...query } = options;
  return useQuery({
    queryKey: [collection, 'list', page, perPage, query],
    queryFn: ({ signal }) =>
      pb.collection(collection).getList<Collections[C]>(page, perPage, { ...query, signal }),
    placeholderData: keepPreviousData,
    enabled,
  });
}

/** The records a select offers, by name. */
export function useOptions<C extends 'tenants' | 'products' | 'provider_keys' | 'models'>(
  collection: C,
  enabled = true,
) {
  return useQuery({
    queryKey: [collection, 'options'],
    queryFn: async ({ signal }) => {
      const list = await pb
        .collection(collection)
        .getList<Collections[C]>(1, OPTION_LIMIT, { sort: 'name', signal });
      return list.items;
    },
    staleTime: 30_000,
    enabled,
  });
}

export function useRecord<C extends CollectionName>(collection: C, id: string | undefined, expand?: string) {
  return useQuery({
    queryKey: [collection, 'one', id, expand],
    queryFn: ({ signal }) => pb.collection(collection).getOne<Collections[C]>(id ?? '', { expand, signal }),
    enabled: !!id,
  });
}

/** How many records match, without fetching them. */
export function useCount(collection: CollectionName, filter = '', enabled = true) {
  return useQuery({
    queryKey: [collection, 'count', filter],
    queryFn: async ({ signal }) =>
      (await pb.collection(collection).getList(1, 1, { filter, signal })).totalItems,
    enabled,
  });
}

/** Creates a record, or updates the one with the given id. */
export function useSaveRecord<C extends CollectionName>(collection: C) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, body }: { id?: string; body: Record<string, unknown> }) =>
      id
        ? pb.collection(collection).update<Collections[C]>(id, body)
        : pb.collection(collection).create<Collections[C]>(body),
    onSuccess: () => queries.invalidateQueries({ queryKey: [collection] }),
  });
}

export function useDeleteRecord(collection: CollectionName) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => pb.collection(collection).delete(id),
    onSuccess: () => queries.invalidateQueries({ queryKey: [collection] }),
  });
}
