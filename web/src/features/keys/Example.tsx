import { Box, Code } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { useSignedIn } from '../../lib/session';
import { CopyIcon } from '../../ui/CopyIcon';
import { useModels } from '../chat/models';

/** A call to paste into a shell, with a model this person may use and, while it is known, the key. */
export function Example({ apiKey = 'sk-…' }: { apiKey?: string }) {
  const { t } = useTranslation();
  const { model } = useModels(useSignedIn().id);
  const body = JSON.stringify({ model: model ?? '…', messages: [{ role: 'user', content: 'Hello!' }] });
  const text = [
    `curl ${window.location.origin}/v1/chat/completions \\`,
    `  -H "Authorization: Bearer ${apiKey}" \\`,
    '  -H "Content-Type: application/json" \\',
    // Inside single quotes a shell takes everything as it is, except the quote itself.
    `  -d '${body.replaceAll("'", "'\\''")}'`,
  ].join('\n');
  return (
    <Box pos="relative">
      <Code block tabIndex={0} pr="xl">
        {text}
      </Code>
      {/* Covers the end of a long line rather than mixing with it. */}
      <Box pos="absolute" top={6} right={6} bg="var(--mantine-color-body)" bdrs="sm">
        <CopyIcon value={text} label={t('keys.example')} />
      </Box>
    </Box>
  );
}
