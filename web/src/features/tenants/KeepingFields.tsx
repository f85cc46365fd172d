import { Fieldset, NumberInput, SimpleGrid } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import type { TenantRecord } from '../../api/types';

/** What is kept of a tenant's calls; zeros keep nothing. */
export interface KeepingValues {
  cache_seconds: number;
  cache_price_percent: number;
  prompt_log_days: number;
}

export function keepingOf(record?: TenantRecord): KeepingValues {
  return {
    cache_seconds: record?.cache_seconds ?? 0,
    cache_price_percent: record?.cache_price_percent ?? 0,
    prompt_log_days: record?.prompt_log_days ?? 0,
  };
}

export function KeepingFields<V extends KeepingValues>({ form }: { form: UseFormReturnType<V> }) {
  const { t } = useTranslation();
  return (
    <Fieldset legend={t('keeping.title')}>
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="xs">
        <NumberInput
          label={t('keeping.cacheSeconds')}
          description={t('keeping.cacheSecondsHint')}
          min={0}
          max={2_592_000}
          allowDecimal={false}
          {...form.getInputProps('cache_seconds')}
        />
        <NumberInput
          label={t('keeping.cachePrice')}
          description={t('keeping.cachePriceHint')}
          min={0}
          max={100}
          allowDecimal={false}
          {...form.getInputProps('cache_price_percent')}
        />
        <NumberInput
          label={t('keeping.promptDays')}
          description={t('keeping.promptDaysHint')}
          min={0}
          max={3650}
          allowDecimal={false}
          {...form.getInputProps('prompt_log_days')}
        />
      </SimpleGrid>
    </Fieldset>
  );
}
