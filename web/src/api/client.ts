import PocketBase from 'pocketbase';

// One client for the whole page. Queries are cancelled by TanStack Query, so the SDK's own
// cancellation of "duplicate" requests is off: two tables on one page would cancel each other.
export const pb = new PocketBase('/');
pb.autoCancellation(false);

/** Calls an endpoint that is not a record collection. */
export function call<T>(
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) {
  return pb.send<T>(path, { method, body: body as Record<string, unknown> | undefined, headers });
}
