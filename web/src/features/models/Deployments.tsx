import { ActionIcon, Button, Card, Group, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import { AmountInput } from '../../ui/AmountInput';
import { RecordSelect } from '../../ui/selects';
import type { ModelValues } from './form';

const MOST = 50;

export interface DeploymentRow {
  /** Only to keep the row apart from its neighbours while it is edited. */
  row: string;
  provider_key: string;
  model: string;
  weight: number | string;
  order: number | string;
}

export function newDeployment(order = 0): DeploymentRow {
  return {
    row: crypto.getRandomValues(new Uint32Array(2)).join('-'),
    provider_key: '',
    model: '',
    weight: 1,
    order,
  };
}

/** Where a model is answered: one card a deployment. */
export function Deployments({ form }: { form: UseFormReturnType<ModelValues> }) {
  const { t } = useTranslation();
  const rows = form.values.deployments;
  return (
    <Stack gap="xs">
      <div>
        <Text size="sm" fw={500}>
          {t('field.deployments')}
        </Text>
        <Text size="xs" c="dimmed">
          {t('models.deploymentsHint')}
        </Text>
      </div>
      {rows.map((row, index) => (
        <Card
          key={row.row}
          withBorder
          padding="sm"
          role="group"
          aria-label={t('models.deployment', { number: index + 1 })}
        >
          <Group align="flex-start" wrap="nowrap" gap="xs">
            <Stack gap="xs" style={{ flex: 1, minWidth: 0 }}>
              <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="xs">
                <RecordSelect
                  collection="provider_keys"
                  label={t('field.providerKey')}
                  required
                  {...form.getInputProps(`deployments.${index}.provider_key`)}
                />
                <TextInput
                  label={t('field.modelAtProvider')}
                  required
                  maxLength={200}
                  {...form.getInputProps(`deployments.${index}.model`)}
                />
              </SimpleGrid>
              <SimpleGrid cols={2} spacing="xs">
                <AmountInput
                  label={t('field.weight')}
                  {...form.getInputProps(`deployments.${index}.weight`)}
                />
                <AmountInput
                  label={t('field.order')}
                  allowDecimal={false}
                  {...form.getInputProps(`deployments.${index}.order`)}
                />
              </SimpleGrid>
            </Stack>
            {rows.length > 1 && (
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label={t('models.removeDeployment', { number: index + 1 })}
                onClick={() => form.removeListItem('deployments', index)}
              >
                <IconTrash size={16} />
              </ActionIcon>
            )}
          </Group>
        </Card>
      ))}
      {form.errors.deployments && (
        <Text size="xs" c="red" role="alert">
          {form.errors.deployments}
        </Text>
      )}
      {rows.length < MOST && (
        <Button
          variant="default"
          size="xs"
          leftSection={<IconPlus size={14} aria-hidden />}
          style={{ alignSelf: 'flex-start' }}
          onClick={() => form.insertListItem('deployments', newDeployment(rows.length))}
        >
          {t('models.addDeployment')}
        </Button>
      )}
    </Stack>
  );
}
