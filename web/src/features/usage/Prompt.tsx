import { Button, Code, ScrollArea, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { call } from '../../api/client';
import { useRecord } from '../../api/records';
import type { LoggedPrompt, UsageLogRecord } from '../../api/types';
import { useSignedIn } from '../../lib/session';
import { ErrorNote } from '../../ui/ErrorNote';

/** Says for how long question and answer of a call are kept; those who may read them can. */
export function Prompt({ of }: { of: UsageLogRecord }) {
  const { t } = useTranslation();
  const session = useSignedIn();
  const mayRead = session.role !== 'user';
  const tenant = useRecord('tenants', mayRead ? of.tenant_id || undefined : undefined);
  const user = useRecord('users', mayRead ? undefined : session.id);
  const [open, setOpen] = useState(false);
  const days = (mayRead ? tenant.data?.prompt_log_days : user.data?.prompt_log_days) ?? 0;
  if (days === 0) return null;
  return (
    <Stack gap="xs" mt="md" align="flex-start">
      <Text size="sm" c="dimmed">
        {t('prompts.kept', { count: days })}
      </Text>
      {mayRead && !open && (
        <>
          <Button size="xs" variant="default" onClick={() => setOpen(true)}>
            {t('prompts.show')}
          </Button>
          <Text size="xs" c="dimmed">
            {t('prompts.audited')}
          </Text>
        </>
      )}
      {open && <Kept requestId={of.request_id} />}
    </Stack>
  );
}

function Kept({ requestId }: { requestId: string }) {
  const { t } = useTranslation();
  const prompt = useQuery({
    queryKey: ['prompt', requestId],
    queryFn: () => call<LoggedPrompt>('GET', `/api/usage/${encodeURIComponent(requestId)}/prompt`),
    // Each reading is written down, so it is read once, when somebody asks for it.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    retry: false,
  });
  if (prompt.error) return <ErrorNote error={prompt.error} title={t('error.loadFailed')} />;
  if (!prompt.data) return <Text size="sm">{t('common.loading')}</Text>;
  const { question, question_cut, answer, answer_cut } = prompt.data;
  return (
    <>
      <Kind title={t('prompts.question')} text={question} cut={question_cut} />
      <Kind title={t('prompts.answer')} text={answer} cut={answer_cut} />
    </>
  );
}

function Kind({ title, text, cut }: { title: string; text: string; cut: boolean }) {
  const { t } = useTranslation();
  return (
    <div style={{ width: '100%' }}>
      <Text size="sm" fw={600} mb={4}>
        {title}
      </Text>
      <ScrollArea.Autosize mah={260} tabIndex={0}>
        <Code block style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
          {pretty(text) || t('prompts.none')}
        </Code>
      </ScrollArea.Autosize>
      {cut && (
        <Text size="xs" c="dimmed">
          {t('prompts.cut')}
        </Text>
      )}
    </div>
  );
}

/** JSON is easier to read in lines; streams and what was cut stay as they are. */
function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
