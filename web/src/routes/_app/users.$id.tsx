import { createFileRoute } from '@tanstack/react-router';
import { UserDetails } from '../../features/users/UserDetails';

export const Route = createFileRoute('/_app/users/$id')({ component: User });

function User() {
  return <UserDetails id={Route.useParams().id} />;
}
