import type { TFunction } from 'i18next';

/** Stands in a row in place of a provider where an answer was given again. */
export const CACHE = 'cache';

/** Who answered, in words. */
export function providerName(provider: string, t: TFunction): string {
  return provider === CACHE ? t('usage.fromCache') : provider;
}
