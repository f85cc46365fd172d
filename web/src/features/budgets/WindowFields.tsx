import {
  ActionIcon,
  Button,
  Card,
  Group,
  Select,
  SimpleGrid,
  Stack,
  Switch,
  Text,
  TextInput,
} from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import { AmountInput, numberOr } from '../../ui/AmountInput';
import { MAIN, PERIODS, type Period, type WindowSpec } from './queries';
import { useBudgetWords } from './words';

/** A window as it is typed. */
export interface WindowDraft {
  key: number;
  name: string;
  limit: number | string;
  period: Period;
  period_days: number | string;
  carry_over: boolean;
}

let nextKey = 0;

export function draftOf(window?: Partial<WindowSpec>): WindowDraft {
  return {
    key: nextKey++,
    name: window?.name ?? '',
    limit: window?.limit ?? '',
    period: window?.period ?? 'day',
    period_days: window?.period_days || 30,
    carry_over: window?.carry_over ?? false,
  };
}

export function specOf(draft: WindowDraft): WindowSpec {
  return {
    name: draft.name,
    limit: numberOr(draft.limit, null),
    period: draft.period,
    period_days: draft.period === 'days' ? numberOr(draft.period_days, 30) : 0,
    carry_over: draft.carry_over,
  };
}

interface WindowFieldsProps {
  drafts: WindowDraft[];
  onChange: (drafts: WindowDraft[]) => void;
  currency: string;
  most: number;
}

/** The budgets of somebody, or of a product, to be changed, added and taken away. */
export function WindowFields({ drafts, onChange, currency, most }: WindowFieldsProps) {
  const { t } = useTranslation();
  const words = useBudgetWords();
  const change = (key: number, change: Partial<WindowDraft>) =>
    onChange(drafts.map((draft) => (draft.key === key ? { ...draft, ...change } : draft)));
  return (
    <Stack gap="sm">
      {drafts.map((draft) => (
        <Card key={draft.key} withBorder padding="sm">
          <Group justify="space-between" mb="xs" wrap="nowrap">
            {draft.name === MAIN ? (
              <Text fw={600}>{words.name(MAIN)}</Text>
            ) : (
              <TextInput
                aria-label={t('field.name')}
                placeholder={t('budgets.nameHint')}
                required
                maxLength={32}
                style={{ flex: 1 }}
                value={draft.name}
                onChange={(event) =>
                  // "main" is the name of the one that is always there.
                  change(draft.key, { name: event.currentTarget.value.toLowerCase() })
                }
              />
            )}
            {draft.name !== MAIN && (
              <ActionIcon
                variant="subtle"
                color="red"
                aria-label={t('budgets.remove', { name: draft.name })}
                onClick={() => onChange(drafts.filter((other) => other.key !== draft.key))}
              >
                <IconTrash size={18} aria-hidden />
              </ActionIcon>
            )}
          </Group>
          <SimpleGrid cols={{ base: 1, xs: draft.period === 'days' ? 3 : 2 }} spacing="sm">
            <AmountInput
              label={t('budgets.limit')}
              description={currency}
              value={draft.limit}
              onChange={(limit) => change(draft.key, { limit })}
            />
            <Select
              label={t('budgets.periodLabel')}
              description={' '}
              allowDeselect={false}
              data={PERIODS.map((value) => ({ value, label: t(`budgets.period.${value}`) }))}
              value={draft.period}
              onChange={(period) => change(draft.key, { period: (period ?? 'day') as Period })}
            />
            {draft.period === 'days' && (
              <AmountInput
                label={t('budgets.days')}
                description={' '}
                allowDecimal={false}
                value={draft.period_days}
                onChange={(period_days) => change(draft.key, { period_days })}
              />
            )}
          </SimpleGrid>
          {draft.period !== 'total' && (
            <Switch
              mt="sm"
              label={t('budgets.carryOver')}
              checked={draft.carry_over}
              onChange={(event) => change(draft.key, { carry_over: event.currentTarget.checked })}
            />
          )}
        </Card>
      ))}
      {drafts.length < most && (
        <Button
          variant="default"
          leftSection={<IconPlus size={16} aria-hidden />}
          onClick={() => onChange([...drafts, draftOf()])}
        >
          {t('budgets.add')}
        </Button>
      )}
    </Stack>
  );
}
