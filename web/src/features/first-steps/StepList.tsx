import { Badge, Button, Card, Group, Stack, Text, ThemeIcon, Title } from '@mantine/core';
import { IconCheck } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { useCount, useRecord } from '../../api/records';
import { useSignedIn } from '../../lib/session';

const STEPS = [
  { key: 'product', to: '/products' },
  { key: 'providerKey', to: '/provider-keys' },
  { key: 'model', to: '/models' },
  { key: 'user', to: '/users' },
  // The first administrator is made before there is any product, and cannot chat without one.
  { key: 'own', to: '/users' },
] as const;

/** Which of the first entries exist. */
export function useSteps(enabled = true) {
  const products = useCount('products', '', enabled);
  const keys = useCount('provider_keys', '', enabled);
  const models = useCount('models', '', enabled);
  const users = useCount('users', "role != 'admin'", enabled);
  const session = useSignedIn();
  const own = useRecord('users', enabled && !session.superuser ? session.id : undefined);
  return {
    loaded: products.isSuccess && keys.isSuccess && models.isSuccess && users.isSuccess,
    done: {
      product: !!products.data,
      providerKey: !!keys.data,
      model: !!models.data,
      user: !!users.data,
      own: session.superuser || !!own.data?.product_id,
    },
  };
}

/** `titled` where no heading of the page says already what this is. */
export function StepList({ titled = false }: { titled?: boolean }) {
  const { t } = useTranslation();
  const session = useSignedIn();
  const { done } = useSteps();
  const count = STEPS.filter((step) => done[step.key]).length;
  return (
    <Card withBorder>
      <Group justify="space-between" mb="xs">
        {titled && <Title order={2}>{t('steps.title')}</Title>}
        <Badge variant="light" tt="none">
          {t('steps.progress', { done: count, count: STEPS.length })}
        </Badge>
      </Group>
      <Stack gap="sm" component="ol" p={0} m={0} style={{ listStyle: 'none' }}>
        {STEPS.map((step, index) => (
          <Group key={step.key} component="li" wrap="nowrap" gap="md">
            <ThemeIcon
              radius="xl"
              variant={done[step.key] ? 'filled' : 'default'}
              color="teal"
              aria-label={done[step.key] ? t('steps.doneMark') : undefined}
            >
              {done[step.key] ? <IconCheck size={16} /> : <Text size="sm">{index + 1}</Text>}
            </ThemeIcon>
            <div style={{ flex: 1, minWidth: 0 }}>
              <Text fw={600} size="sm">
                {t(`steps.${step.key}`)}
              </Text>
              <Text size="sm" c="dimmed">
                {t(`steps.${step.key}Text`)}
              </Text>
            </div>
            {!done[step.key] && (
              <Button
                component={Link}
                to={step.to}
                search={{ edit: step.key === 'own' ? session.id : 'new' } as never}
                size="xs"
                variant="light"
                aria-label={`${t('steps.open')}: ${t(`steps.${step.key}`)}`}
              >
                {t('steps.open')}
              </Button>
            )}
          </Group>
        ))}
      </Stack>
    </Card>
  );
}
