import { useThrottledCallback } from '@mantine/hooks';
import { useQueryClient } from '@tanstack/react-query';
import { useRealtime } from '../../api/realtime';

/** Refreshes numbers and tables when a call finishes anywhere; at most once a second however many finish. */
export function useLiveUsage() {
  const queries = useQueryClient();
  const refresh = useThrottledCallback(() => {
    void queries.invalidateQueries({ queryKey: ['usage_logs'] });
    void queries.invalidateQueries({ queryKey: ['usage-summary'] });
  }, 1000);
  useRealtime('usage_logs', '*', () => refresh());
}
