import type { ServerInfo } from '../../api/types';

/** Where keys and usage are: at the portal's own host, or on this one if it is no tenant's. */
export function portalAddress(info: ServerInfo, here: { protocol: string; port: string }): string {
  if (info.component === 'portal' || !info.base_domain) return '/';
  const base = info.base_domain.replace(/:\d+$/, '');
  return `${here.protocol}//admin.${base}${here.port ? `:${here.port}` : ''}/`;
}
