import { useMutation, useQueryClient } from '@tanstack/react-query';
import { call, pb } from '../../api/client';
import { quote } from '../../api/filter';
import { useRealtime } from '../../api/realtime';
import { useCount } from '../../api/records';
import { useSignedIn } from '../../lib/session';

/** The filter for what was written to the one who is signed in. */
export const toReader = (id: string) => `user_id = ${quote(id)}`;

/** How many of the own notifications are unread. A superuser is no user, so nobody writes to one. */
export function useUnread() {
  const session = useSignedIn();
  const queries = useQueryClient();
  const own = !session.superuser && session.id !== '';
  useRealtime('notifications', own ? '*' : undefined, () => {
    void queries.invalidateQueries({ queryKey: ['notifications'] });
  });
  return useCount('notifications', `${toReader(session.id)} && read = false`, own);
}

export function useNoticeActions() {
  const queries = useQueryClient();
  const onSuccess = () => queries.invalidateQueries({ queryKey: ['notifications'] });
  const mark = useMutation({
    mutationFn: ({ id, read }: { id: string; read: boolean }) =>
      pb.collection('notifications').update(id, { read }),
    onSuccess,
  });
  const markAll = useMutation({
    mutationFn: () => call<{ marked: number }>('POST', '/api/notifications/read'),
    onSuccess,
  });
  return { mark, markAll };
}
