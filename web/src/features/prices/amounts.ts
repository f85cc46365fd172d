// Prices of one token are tiny; people know them by the million.

const MILLION_DIGITS = 6;
/** Names of prices that are for one piece and not for a token. */
const BY_PIECE =
  /_cost_per_|^web_search_query|^guardrail|^ocr|^annotation|^code_interpreter|^multiplier|^limit/;

/** A price as it is shown: tokens by the million, pieces as they are. Exact, by moving the point in the text. */
export function shownPrice(name: string, price: string): string {
  if (BY_PIECE.test(name) || !/^\d*\.?\d*$/.test(price)) return price;
  const [whole = '0', part = ''] = price.split('.');
  const digits = part.padEnd(MILLION_DIGITS, '0');
  const left = `${whole}${digits.slice(0, MILLION_DIGITS)}`.replace(/^0+(?=\d)/, '');
  const right = digits.slice(MILLION_DIGITS).replace(/0+$/, '');
  return right ? `${left}.${right}` : left;
}
