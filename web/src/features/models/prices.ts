import type { PriceName } from '../../api/types';
import { numberOr } from '../../ui/AmountInput';

/** Prices of a million tokens. */
export const TOKEN_PRICES: readonly PriceName[] = ['input', 'output', 'cached_input', 'cache_write'];
/** Prices of what is billed by the piece. */
export const PIECE_PRICES: readonly PriceName[] = ['image', 'audio_minute', 'character', 'request'];
const PRICE_NAMES: readonly PriceName[] = [...TOKEN_PRICES, ...PIECE_PRICES];
export type PriceFields = Record<PriceName, number | string>;

/** What the price fields show: empty where the price book decides. */
export function toFields(prices: Record<string, unknown> | null | undefined): PriceFields {
  const field = (name: PriceName) => {
    const value = prices?.[name];
    return typeof value === 'number'
      ? value
      : typeof value === 'string' && value.trim() !== ''
        ? Number(value)
        : '';
  };
  return {
    input: field('input'),
    output: field('output'),
    cached_input: field('cached_input'),
    cache_write: field('cache_write'),
    image: field('image'),
    audio_minute: field('audio_minute'),
    character: field('character'),
    request: field('request'),
  };
}

/** What is stored. Prices that the form does not show (such as tiers) stay as they are; none at all is null. */
export function fromFields(
  fields: PriceFields,
  before: Record<string, unknown> | null | undefined,
): Record<string, unknown> | null {
  const prices: Record<string, unknown> = { ...before };
  for (const name of PRICE_NAMES) {
    const value = numberOr(fields[name], null);
    if (value === null) delete prices[name];
    else prices[name] = value;
  }
  return Object.keys(prices).length > 0 ? prices : null;
}
