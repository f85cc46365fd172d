const MISSING = 'A part of the program could not be loaded';

/**
 * The router answers a part of the program that cannot be loaded by reloading the page, which ends at
 * the browser's own error page while the server is away. Under a name that the router does not know it
 * is an error like any other, shown with a button.
 */
export function keepPageWhenPartsAreMissing(target: EventTarget = window) {
  target.addEventListener('vite:preloadError', (event) => {
    const { payload } = event as Event & { payload?: unknown };
    if (payload instanceof Error) payload.message = `${MISSING} (${payload.message})`;
  });
}

export function isPartMissing(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith(MISSING);
}

/** Reloads the page, but only from a server that answers; else the page stays as it is. */
export async function reloadFromServer() {
  const answer = await fetch('/api/info', { cache: 'no-store' });
  if (!answer.ok) throw new TypeError('the server does not answer');
  window.location.reload();
}
