import { Box, Group, Text } from '@mantine/core';
import { formatDay, formatMoney } from '../lib/format';
import { useLocale } from '../lib/i18n';

export interface DayAmount {
  day: string;
  amount: number;
}

const HEIGHT = 140;
const BAR = 10;
const GAP = 4;

/** One bar a day. Each bar names its day and amount, for the pointer and for screen readers. */
export function TimeChart({ days, currency, label }: { days: DayAmount[]; currency: string; label: string }) {
  const locale = useLocale();
  const highest = Math.max(...days.map((day) => day.amount), 0);
  const width = days.length * (BAR + GAP);
  return (
    <Box>
      <svg
        viewBox={`0 0 ${width} ${HEIGHT}`}
        width="100%"
        height={HEIGHT}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
      >
        {days.map((day, index) => {
          const height =
            highest > 0 ? Math.max(day.amount > 0 ? 3 : 1, (day.amount / highest) * (HEIGHT - 4)) : 1;
          return (
            <rect
              key={day.day}
              x={index * (BAR + GAP) + GAP / 2}
              y={HEIGHT - height}
              width={BAR}
              height={height}
              rx={2}
              fill={
                day.amount > 0 ? 'var(--mantine-primary-color-filled)' : 'var(--mantine-color-default-border)'
              }
            >
              <title>{`${formatDay(day.day, locale)}: ${formatMoney(day.amount, currency, locale)}`}</title>
            </rect>
          );
        })}
      </svg>
      <Group justify="space-between" mt={4}>
        <Text size="xs" c="dimmed">
          {formatDay(days[0]?.day ?? '', locale)}
        </Text>
        <Text size="xs" c="dimmed">
          {formatDay(days.at(-1)?.day ?? '', locale)}
        </Text>
      </Group>
    </Box>
  );
}
