import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { pb } from '../../api/client';
import { refusal } from './stream';

const STORAGE_KEY = 'cf_chat_model';

/** The models this person may use, and the one chosen: as last time, if it is still there. */
export function useModels(userId: string) {
  const query = useQuery({
    queryKey: ['chat-models', userId],
    queryFn: async ({ signal }) => {
      const response = await fetch('/v1/models', {
        headers: { Authorization: `Bearer ${pb.authStore.token}` },
        signal,
      });
      if (!response.ok) throw await refusal(response);
      const body = (await response.json()) as { data?: { id: string }[] };
      return (body.data ?? []).map((model) => model.id);
    },
    staleTime: 60_000,
  });
  const [wanted, setWanted] = useState(() => localStorage.getItem(STORAGE_KEY));
  const choose = (model: string) => {
    localStorage.setItem(STORAGE_KEY, model);
    setWanted(model);
  };
  const names = query.data ?? [];
  return { query, names, model: wanted && names.includes(wanted) ? wanted : (names[0] ?? null), choose };
}
