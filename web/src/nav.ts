import {
  type Icon,
  IconBook,
  IconBuilding,
  IconCash,
  IconChartBar,
  IconCpu,
  IconFileInvoice,
  IconKey,
  IconLayoutDashboard,
  IconMailForward,
  IconPackage,
  IconPlugConnected,
  IconReceipt,
  IconReceipt2,
  IconUsers,
  IconWebhook,
} from '@tabler/icons-react';
import type { Role } from './api/types';

type NavLabel =
  | 'dashboard'
  | 'users'
  | 'tenants'
  | 'products'
  | 'providerKeys'
  | 'models'
  | 'keys'
  | 'billingKeys'
  | 'usage'
  | 'statements'
  | 'priceBook'
  | 'exchangeRates'
  | 'audit'
  | 'webhooks'
  | 'outbox'
  | 'notifications'
  | 'account'
  | 'firstSteps';
export interface NavItem {
  to: string;
  label: NavLabel;
  icon?: Icon;
  roles: readonly Role[];
}

const EVERYONE = ['user', 'tenant_admin', 'admin'] as const;
const TENANT = ['tenant_admin', 'admin'] as const;
const ADMIN = ['admin'] as const;

/** The pages and who may see them. Those without an icon are not in the navigation. */
export const NAV: NavItem[] = [
  { to: '/', label: 'dashboard', icon: IconLayoutDashboard, roles: EVERYONE },
  { to: '/users', label: 'users', icon: IconUsers, roles: TENANT },
  { to: '/tenants', label: 'tenants', icon: IconBuilding, roles: ADMIN },
  { to: '/products', label: 'products', icon: IconPackage, roles: ADMIN },
  { to: '/provider-keys', label: 'providerKeys', icon: IconPlugConnected, roles: ADMIN },
  { to: '/models', label: 'models', icon: IconCpu, roles: ADMIN },
  { to: '/keys', label: 'keys', icon: IconKey, roles: EVERYONE },
  { to: '/billing-keys', label: 'billingKeys', icon: IconReceipt, roles: ADMIN },
  { to: '/usage', label: 'usage', icon: IconChartBar, roles: EVERYONE },
  { to: '/statements', label: 'statements', icon: IconFileInvoice, roles: TENANT },
  { to: '/prices', label: 'priceBook', icon: IconReceipt2, roles: ADMIN },
  { to: '/exchange-rates', label: 'exchangeRates', icon: IconCash, roles: ADMIN },
  { to: '/audit', label: 'audit', icon: IconBook, roles: ADMIN },
  { to: '/webhooks', label: 'webhooks', icon: IconWebhook, roles: ADMIN },
  { to: '/outbox', label: 'outbox', icon: IconMailForward, roles: ADMIN },
  { to: '/notifications', label: 'notifications', roles: EVERYONE },
  { to: '/account', label: 'account', roles: EVERYONE },
  { to: '/first-steps', label: 'firstSteps', roles: ADMIN },
];

/** Whether a role may open a path; unknown paths are left to the router. */
export function mayOpen(path: string, role: Role): boolean {
  const item = NAV.find(
    (entry) => path === entry.to || (entry.to !== '/' && path.startsWith(`${entry.to}/`)),
  );
  return !item || item.roles.includes(role);
}
