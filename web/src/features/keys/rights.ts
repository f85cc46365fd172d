import type { Role } from '../../api/types';
import { useSignedIn } from '../../lib/session';

/** Whether the person may change everything about a user's keys; `userRole` once it is known. */
export function useManagesKeys(userRole: Role | undefined): boolean {
  const session = useSignedIn();
  return (
    session.superuser ||
    session.role === 'admin' ||
    (session.role === 'tenant_admin' && userRole !== undefined && userRole !== 'admin')
  );
}
