import { Fieldset, SimpleGrid, Text } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { AmountInput, numberOr } from './AmountInput';

type Limit = number | string;

export interface LimitValues {
  rate_limit: Limit;
  tokens_per_minute: Limit;
  parallel_requests: Limit;
}

interface Limits {
  rate_limit?: number;
  tokens_per_minute?: number;
  parallel_requests?: number;
}

/** An empty field stands for no limit, as does the server's 0. */
export function limitValues(record?: Limits): LimitValues {
  return {
    rate_limit: record?.rate_limit || '',
    tokens_per_minute: record?.tokens_per_minute || '',
    parallel_requests: record?.parallel_requests || '',
  };
}

export function limitsOf(values: LimitValues): Required<Limits> {
  return {
    rate_limit: numberOr(values.rate_limit, 0),
    tokens_per_minute: numberOr(values.tokens_per_minute, 0),
    parallel_requests: numberOr(values.parallel_requests, 0),
  };
}

/** How much may be asked at a time; `hint` says for whom it holds. */
export function LimitFields<V extends LimitValues>({
  form,
  hint,
}: {
  form: UseFormReturnType<V>;
  hint: string;
}) {
  const { t } = useTranslation();
  return (
    <Fieldset legend={t('limits.title')}>
      <Text size="xs" c="dimmed" mb="xs">
        {hint}
      </Text>
      <SimpleGrid cols={{ base: 1, xs: 3 }} spacing="xs">
        <AmountInput
          label={t('limits.requests')}
          allowDecimal={false}
          {...form.getInputProps('rate_limit')}
        />
        <AmountInput
          label={t('limits.tokens')}
          allowDecimal={false}
          {...form.getInputProps('tokens_per_minute')}
        />
        <AmountInput
          label={t('limits.parallel')}
          allowDecimal={false}
          {...form.getInputProps('parallel_requests')}
        />
      </SimpleGrid>
    </Fieldset>
  );
}
