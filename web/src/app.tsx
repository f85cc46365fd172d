import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRouter, RouterProvider } from '@tanstack/react-router';
import { getSession, refreshSession } from './lib/session';
import { routeTree } from './routeTree.gen';
import { cssVariables, theme } from './theme';
import { Crash } from './ui/Crash';
import { NotFound } from './ui/NotFound';

/** A session that the server no longer knows ends here; a 401 of another cause changes nothing. */
async function checkSession(error: unknown) {
  if ((error as { status?: number }).status !== 401 || !getSession()) return;
  await refreshSession();
  if (!getSession()) await router.invalidate();
}

const queryClient = new QueryClient({
  queryCache: new QueryCache({ onError: (error) => void checkSession(error) }),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // A refusal does not change by asking again; only a lost connection or a busy server is tried once more.
      retry: (count, error) => {
        const status = (error as { status?: number }).status ?? 0;
        return count < 1 && (status === 0 || status >= 502);
      },
    },
  },
});

const router = createRouter({
  routeTree,
  context: { queryClient },
  defaultPreload: 'intent',
  defaultErrorComponent: Crash,
  defaultNotFoundComponent: NotFound,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}

export function App() {
  return (
    <MantineProvider theme={theme} cssVariablesResolver={cssVariables} defaultColorScheme="auto">
      {/* At the top, where they cover no button of a dialog. */}
      <Notifications position="top-center" />
      <QueryClientProvider client={queryClient}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  );
}
