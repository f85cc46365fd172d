import type { QueryClient } from '@tanstack/react-query';
import { createRootRouteWithContext, Outlet } from '@tanstack/react-router';
import { infoQuery } from '../api/info';
import { refreshSession } from '../lib/session';

let refreshed = false;

export const Route = createRootRouteWithContext<{ queryClient: QueryClient }>()({
  beforeLoad: async ({ context }) => {
    const info = await context.queryClient.ensureQueryData(infoQuery);
    // Once per page load: the stored session may be of yesterday.
    if (!refreshed) {
      refreshed = true;
      await refreshSession();
    }
    return { info };
  },
  component: Outlet,
});
