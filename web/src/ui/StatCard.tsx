import { Card, Skeleton, Text } from '@mantine/core';
import type { ReactNode } from 'react';

export function StatCard({ label, value, loading }: { label: string; value: ReactNode; loading?: boolean }) {
  return (
    <Card withBorder padding="sm">
      <Text size="sm" c="dimmed">
        {label}
      </Text>
      {loading ? (
        <Skeleton height={28} width="60%" mt={6} />
      ) : (
        <Text
          component="div"
          fz={{ base: '1.15rem', sm: '1.5rem' }}
          fw={650}
          style={{ fontVariantNumeric: 'tabular-nums', overflowWrap: 'anywhere' }}
        >
          {value}
        </Text>
      )}
    </Card>
  );
}
