import { createFileRoute } from '@tanstack/react-router';
import { AdminDashboard } from '../../features/dashboard/AdminDashboard';
import { OwnOverview } from '../../features/dashboard/OwnOverview';
import { useSignedIn } from '../../lib/session';

export const Route = createFileRoute('/_app/')({ component: Start });

function Start() {
  return useSignedIn().role === 'user' ? <OwnOverview /> : <AdminDashboard />;
}
