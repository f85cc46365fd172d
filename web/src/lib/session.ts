import { useSyncExternalStore } from 'react';
import { pb } from '../api/client';
import type { Role, UserRecord } from '../api/types';

export interface Session {
  id: string;
  email: string;
  name: string;
  role: Role;
  /** A superuser has all rights but no budget, so no keys and no chat of their own. */
  superuser: boolean;
  tenantId: string;
  record: UserRecord | null;
}

let cached: { text: string; session: Session | null } = { text: '', session: null };

/**
 * Who is signed in. The same object is returned until the record changes; the SDK's store reads
 * the record from the browser's storage each time, so it is compared by content.
 */
export function getSession(): Session | null {
  const record = pb.authStore.isValid ? pb.authStore.record : null;
  const text = record ? JSON.stringify(record) : '';
  if (cached.text !== text) cached = { text, session: record && toSession(record) };
  return cached.session;
}

function toSession(record: NonNullable<typeof pb.authStore.record>): Session {
  const superuser = record.collectionName === '_superusers';
  const user = superuser ? null : (record as unknown as UserRecord);
  return {
    id: record.id,
    email: String(record.email ?? ''),
    name: user?.name || String(record.email ?? ''),
    role: superuser ? 'admin' : (user?.role ?? 'user'),
    superuser,
    tenantId: user?.tenant_id ?? '',
    record: user,
  };
}

export function useSession(): Session | null {
  return useSyncExternalStore((changed) => pb.authStore.onChange(changed), getSession);
}

/** For pages behind the guard, where somebody is always signed in. */
export function useSignedIn(): Session {
  const session = useSession();
  // Signing out renders once more before the router leaves the page.
  return (
    session ?? { id: '', email: '', name: '', role: 'user', superuser: false, tenantId: '', record: null }
  );
}

/** Gets the record anew, so that a changed role, status or budget is felt. Ends a session the server refuses. */
export async function refreshSession(): Promise<void> {
  const session = getSession();
  if (!session) return;
  try {
    await pb.collection(session.superuser ? '_superusers' : 'users').authRefresh();
  } catch (error) {
    const status = (error as { status?: number }).status;
    if (status === 401 || status === 403 || status === 404) pb.authStore.clear();
  }
}

export function signOut() {
  pb.realtime.unsubscribe().catch(() => undefined);
  pb.authStore.clear();
}
