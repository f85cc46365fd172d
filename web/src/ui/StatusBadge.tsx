import { Badge } from '@mantine/core';

const COLORS: Record<string, string> = {
  active: 'teal',
  ok: 'teal',
  pending: 'yellow',
  suspended: 'red',
  error: 'red',
  revoked: 'gray',
  archived: 'gray',
  inactive: 'gray',
  cancelled: 'gray',
  expired: 'orange',
  waiting: 'yellow',
  sent: 'teal',
  dead: 'red',
};

export function StatusBadge({ status, label }: { status: string; label: string }) {
  return (
    <Badge miw="max-content" variant="dot" color={COLORS[status] ?? 'gray'} tt="none" fw={600}>
      {label}
    </Badge>
  );
}
