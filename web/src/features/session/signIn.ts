import { ClientResponseError } from 'pocketbase';
import { pb } from '../../api/client';

/** The password was right, and a one-time code was sent as the second factor. */
export interface CodeNeeded {
  mfaId: string;
  otpId: string;
}

/** Signs in as a user; in the portal a superuser may sign in too and is tried second. */
export async function signIn(
  email: string,
  password: string,
  trySuperuser: boolean,
): Promise<CodeNeeded | null> {
  try {
    await pb.collection('users').authWithPassword(email, password, { expand: 'tenant_id' });
    return null;
  } catch (error) {
    if (!(error instanceof ClientResponseError)) throw error;
    const mfaId = error.status === 401 ? (error.response?.mfaId as string | undefined) : undefined;
    if (mfaId) {
      const { otpId } = await pb.collection('users').requestOTP(email);
      return { mfaId, otpId };
    }
    if (!trySuperuser || error.status !== 400) throw error;
    try {
      await pb.collection('_superusers').authWithPassword(email, password);
      return null;
    } catch {
      throw error;
    }
  }
}

export async function confirmCode(needed: CodeNeeded, code: string): Promise<void> {
  await pb.collection('users').authWithOTP(needed.otpId, code.trim(), { mfaId: needed.mfaId });
}
