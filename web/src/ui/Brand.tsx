import { Group, Text } from '@mantine/core';
import icon from '../assets/icon.svg';

export function Brand({ name = 'CloudFreedom' }: { name?: string }) {
  return (
    <Group gap={8} wrap="nowrap" style={{ minWidth: 0 }}>
      <img src={icon} width={26} height={26} alt="" />
      <Text fw={700} truncate>
        {name}
      </Text>
    </Group>
  );
}
