import { Alert, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { call } from '../../api/client';
import type { KeyTestResult, ProviderKeyRecord } from '../../api/types';
import { formatMilliseconds } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { FormDialog } from '../../ui/FormDialog';

/** Makes the smallest real call with a key and says what became of it. */
export function TestDialog({ record, onClose }: { record: ProviderKeyRecord; onClose: () => void }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const queries = useQueryClient();
  const [result, setResult] = useState<KeyTestResult | null>(null);
  const form = useForm({ initialValues: { model: '' } });
  return (
    <FormDialog
      title={t('providerKeys.testTitle', { name: record.name })}
      form={form}
      size="md"
      submitLabel={t('providerKeys.test')}
      onClose={onClose}
      onSubmit={async ({ model }) => {
        setResult(null);
        const path = `/api/provider-keys/${encodeURIComponent(record.id)}/test`;
        setResult(await call<KeyTestResult>('POST', path, { model: model.trim() }));
        // A key that works is not set aside any more, and the other way round; that is written down
        // a moment later.
        setTimeout(() => void queries.invalidateQueries({ queryKey: ['provider_keys'] }), 1_000);
      }}
    >
      <Text size="sm">{t('providerKeys.testText')}</Text>
      <TextInput
        label={t('field.modelAtProvider')}
        description={t('providerKeys.testModelHint')}
        data-autofocus
        maxLength={500}
        {...form.getInputProps('model')}
      />
      {result && (
        <Alert color={result.ok ? 'teal' : 'red'} role="status">
          <Stack gap={4}>
            <Text size="sm" fw={600}>
              {result.ok
                ? t('providerKeys.testWorks', {
                    model: result.model,
                    time: formatMilliseconds(result.latency_ms, locale),
                  })
                : t('providerKeys.testFails', { model: result.model || '–' })}
            </Text>
            {!result.ok && (
              <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
                {result.message}
                {result.status > 0 && ` (${t('providerKeys.testStatus', { status: result.status })})`}
              </Text>
            )}
          </Stack>
        </Alert>
      )}
    </FormDialog>
  );
}
