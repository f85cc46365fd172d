import type { ListedPrice } from '../../api/types';
import { numberOr } from '../../ui/AmountInput';

/** The prices that a line of a price list shows; others that are stored stay as they are. */
export const LISTED = ['input', 'output', 'cached_input'] as const;
export type ListedName = (typeof LISTED)[number];

export interface PriceRow {
  /** Only to keep the row apart from its neighbours while it is edited. */
  row: string;
  model: string;
  fields: Record<ListedName, number | string>;
  /** As it is stored. */
  before: ListedPrice | undefined;
}

export function newRow(before?: ListedPrice): PriceRow {
  const field = (name: ListedName) => {
    const value = before?.[name];
    if (typeof value === 'number') return value;
    return typeof value === 'string' && value.trim() !== '' ? Number(value) : '';
  };
  return {
    row: crypto.getRandomValues(new Uint32Array(2)).join('-'),
    model: before?.model ?? '',
    fields: { input: field('input'), output: field('output'), cached_input: field('cached_input') },
    before,
  };
}

export function toRows(list: ListedPrice[] | null | undefined): PriceRow[] {
  return (list ?? []).map(newRow);
}

/** What is stored; lines without a model are left out. */
export function fromRows(rows: PriceRow[]): ListedPrice[] {
  return rows
    .filter((row) => row.model.trim() !== '')
    .map((row) => {
      const price: ListedPrice = { ...row.before, model: row.model.trim() };
      for (const name of LISTED) {
        const value = numberOr(row.fields[name], null);
        if (value === null) delete price[name];
        else price[name] = value;
      }
      return price;
    });
}
