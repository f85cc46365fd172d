import { queryOptions } from '@tanstack/react-query';
import { call } from './client';
import type { ServerInfo } from './types';

export const infoQuery = queryOptions({
  queryKey: ['info'],
  queryFn: () => call<ServerInfo>('GET', '/api/info'),
  staleTime: Number.POSITIVE_INFINITY,
});
