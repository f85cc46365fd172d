import { createFileRoute } from '@tanstack/react-router';
import { BillingKeysPage } from '../../features/billing-keys/BillingKeysPage';

export const Route = createFileRoute('/_app/billing-keys')({ component: BillingKeysPage });
