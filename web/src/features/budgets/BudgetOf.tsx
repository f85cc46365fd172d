import { Stack } from '@mantine/core';
import type { ComponentProps } from 'react';
import { BudgetBar } from '../../ui/BudgetBar';
import { Forecast } from './Forecast';

/** The bar of a user's or tenant's budget, and below it where the pace leads. Narrow enough for a table. */
export function BudgetOf({
  collection,
  owner,
  ...bar
}: ComponentProps<typeof Forecast> & ComponentProps<typeof BudgetBar>) {
  return (
    <Stack gap={4} maw={190}>
      <BudgetBar {...bar} />
      <Forecast collection={collection} owner={owner} />
    </Stack>
  );
}
