import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { call } from '../../api/client';
import type { MessageRecord, OutboxStatus } from '../../api/types';

export function useOutboxStatus() {
  return useQuery({
    queryKey: ['messages', 'status'],
    queryFn: () => call<OutboxStatus>('GET', '/api/messages/status'),
  });
}

export function useOutboxActions() {
  const queries = useQueryClient();
  const onSettled = () => queries.invalidateQueries({ queryKey: ['messages'] });
  const resend = useMutation({
    mutationFn: (id: string) => call<MessageRecord>('POST', `/api/messages/${encodeURIComponent(id)}/resend`),
    onSettled,
  });
  const tryMail = useMutation({
    mutationFn: () => call<{ id: string }>('POST', '/api/messages/try-mail'),
    onSettled,
  });
  return { resend, tryMail };
}
