import { createFileRoute } from '@tanstack/react-router';
import { TenantDetails } from '../../features/tenants/TenantDetails';

export const Route = createFileRoute('/_app/tenants/$id')({ component: Tenant });

function Tenant() {
  return <TenantDetails id={Route.useParams().id} />;
}
