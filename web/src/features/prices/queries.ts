import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { call } from '../../api/client';
import type { PriceBook, PriceImport } from '../../api/types';

export function usePriceBook(search: string) {
  return useQuery({
    queryKey: ['price-book', search],
    queryFn: () => call<PriceBook>('GET', `/api/prices?${new URLSearchParams({ search })}`),
    placeholderData: keepPreviousData,
  });
}

export interface ImportWish {
  /** The catalogue; none for the one that comes with the program. */
  file: File | null;
  effective: string;
}

async function send<T>({ file, effective }: ImportWish, confirm?: string) {
  const query = new URLSearchParams({ effective, ...(confirm && { confirm }) });
  // What is no JSON is told here already: the client would send it as something else.
  const catalogue = file ? JSON.parse(await file.text()) : undefined;
  return call<T>('POST', `/api/prices/import?${query}`, catalogue);
}

/** What a list would change. */
export function useProposal() {
  return useMutation({ mutationFn: (wish: ImportWish) => send<PriceImport>(wish) });
}

/** Takes the list whose changes were shown. */
export function useTakePrices() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ hash, ...wish }: ImportWish & { hash: string }) =>
      send<{ id: string; effective: string }>(wish, hash),
    onSuccess: () => client.invalidateQueries({ queryKey: ['price-book'] }),
  });
}
