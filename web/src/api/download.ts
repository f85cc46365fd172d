import { ClientResponseError } from 'pocketbase';
import { pb } from './client';

/** Saves what the server answers as a file. A plain link could not say who asks. */
export async function download(path: string, fileName: string): Promise<void> {
  const answer = await fetch(path, { headers: { Authorization: pb.authStore.token } });
  if (!answer.ok) {
    const response = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
    throw new ClientResponseError({ url: path, status: answer.status, response });
  }
  const address = URL.createObjectURL(await answer.blob());
  const link = document.createElement('a');
  link.href = address;
  link.download = fileName;
  link.click();
  // The browser has begun to save by then.
  window.setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
