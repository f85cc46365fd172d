import { Box, Card, Center, Group, Stack, Text, Title } from '@mantine/core';
import type { ReactNode } from 'react';
import { Brand } from './Brand';
import { LanguageMenu } from './LanguageMenu';
import { SchemeToggle } from './SchemeToggle';

/** A page with one card in the middle: sign-in, set-up, password reset. */
export function CardPage({
  brand,
  title,
  lead,
  children,
}: {
  brand?: string;
  title: string;
  lead?: string;
  children: ReactNode;
}) {
  return (
    <Box mih="100dvh" bg="light-dark(var(--mantine-color-gray-0), var(--mantine-color-dark-8))">
      <Group component="header" justify="space-between" p="md" wrap="nowrap">
        <Brand name={brand} />
        <Group gap={4} wrap="nowrap">
          <LanguageMenu />
          <SchemeToggle />
        </Group>
      </Group>
      <Center component="main" px="md" py="xl">
        <Card withBorder shadow="sm" padding="xl" w="100%" maw={420}>
          <Stack gap="md">
            <div>
              <Title order={1}>{title}</Title>
              {lead && (
                <Text c="dimmed" size="sm" mt={4}>
                  {lead}
                </Text>
              )}
            </div>
            {children}
          </Stack>
        </Card>
      </Center>
    </Box>
  );
}
