import { createFileRoute, redirect } from '@tanstack/react-router';
import { Shell } from '../features/session/Shell';
import { getSession } from '../lib/session';

export const Route = createFileRoute('/_app')({
  beforeLoad: ({ context, location }) => {
    if (context.info.component === 'chat') throw redirect({ to: '/chat' });
    if (!getSession())
      throw redirect({ to: '/login', search: location.pathname === '/' ? {} : { to: location.href } });
  },
  component: Shell,
});
