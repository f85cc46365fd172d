import { Card, Skeleton, Text } from '@mantine/core';
import type { ReactNode } from 'react';

interface StatCardProps {
  label: string;
  value: ReactNode;
  /** A line beneath the number. */
  note?: string;
  loading?: boolean;
}

export function StatCard({ label, value, note, loading }: StatCardProps) {
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
      {note && (
        <Text size="xs" c="dimmed">
          {note}
        </Text>
      )}
    </Card>
  );
}
