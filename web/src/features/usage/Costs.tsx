import { useSession } from '../../lib/session';
import { Money } from '../../ui/Money';
import type { Totals } from './sums';

/** The cost in each currency that occurs, one below the other. */
export function Costs({ totals }: { totals: Totals }) {
  const session = useSession();
  if (totals.costs.length === 0)
    return <Money value={0} currency={session?.record?.budget_currency || 'EUR'} />;
  return totals.costs.map(({ currency, cost }) => (
    <div key={currency}>
      <Money value={cost} currency={currency} />
    </div>
  ));
}
